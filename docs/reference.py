"""Write docs/reference.md from the registries: ``python docs/reference.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from napari_segtool.cli.list_ import KINDS
from napari_segtool.core.given import INPUTS
from napari_segtool.core.params import FieldInfo, describe
from napari_segtool.core.registry import Entry

DOCS = Path(__file__).parent
GALLERY = DOCS / "images" / "gallery"
PICTURED = {"methods": "method", "filters": "filter"}
"""Kinds whose entries have a picture, made by ``python docs/gallery.py``."""

INTRODUCTIONS = {
    "methods": "Segment without learning. `segtool segment NAME IMAGE -o OUT`, `segtool.segment(stack, NAME)`, panel *Segment*.",
    "filters": "Change the picture. `segtool filter NAME IMAGE -o OUT`, `segtool.apply_filter(stack, NAME)`.",
    "learners": "Learn a model. `segtool train --learner NAME --set key=value`, `segtool.train(pairs, NAME)`, panel *Train*.",
    "networks": "Architectures inside the learners.",
    "losses": "What a training makes small; several can be added. All leave unlabelled pixels out and take a weight for each pixel.",
    "augmentations": "How the grey values of patches are varied while training. `--set modality=em` and others choose those of an instrument, "
    "`--set effects='contrast + 0.5*noise'` single ones; panel *Train*.",
    "explainers": "Show why. `segtool explain --explainer NAME --set key=value`, `segtool.explain(model, stack, NAME, target)`, panel *Explain*.",
    "metrics": "Families of scores. `segtool evaluate PREDICTION TRUTH`, `segtool.evaluate(prediction, truth)`.",
    "samples": "Made by code, with truth. `segtool.sample(NAME)`, File › Open Sample › SegTool.",
}


def page() -> str:
    """Return the whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Made from the registries by `python docs/reference.py`; do not edit."
    for kind, registry in KINDS.items():
        yield from ("", f"## {kind.capitalize()}", "", INTRODUCTIONS[kind])
        for entry in registry:
            yield from ("", f"### `{entry.name}`: {entry.title}", "", entry.summary)
            if kind in PICTURED:
                yield from _picture(PICTURED[kind], entry)
            facts = _facts(entry) if kind in PICTURED else ""
            if facts:
                yield from ("", facts)
            if entry.reference:
                yield from ("", f"Source: {entry.reference}")
            fields = describe(entry.params)
            if fields:
                yield from ("", "| parameter | default | allowed | what it does |", "|---|---|---|---|")
                yield from (f"| `{field.name}` | {_default(field)} | {_allowed(field)} | {field.help} |" for field in fields)


def _picture(kind: str, entry: Entry) -> Iterator[str]:
    """Show the picture of an entry, and say what it is set to where that is not what it comes with."""
    name = f"{kind}-{entry.name}"
    if (GALLERY / f"{name}.png").exists():
        yield from ("", f"![{entry.title}: before and after](images/gallery/{name}.png)")
        settings = json.loads((DOCS / "gallery.json").read_text(encoding="utf-8")).get(name, {}).get("settings", {})
        if settings:
            yield from ("", f"In the picture: {', '.join(f'`{key}` {value}' for key, value in settings.items())}.")


def _facts(entry: Entry) -> str:
    """Say what an entry needs, where it works, and what else it is called."""
    needs = ["clicked seeds"] * ("seeds" in entry.traits) + [name for name in INPUTS if name in entry.traits]
    takes = [name for name in INPUTS if f"takes-{name}" in entry.traits]
    parts = [f"Family: {entry.family}."] if entry.family else []
    parts += [f"Needs {' and '.join(needs)}."] if needs else []
    parts += [f"May start from {' or '.join(takes)}."] if takes else []
    parts += ["Slice by slice."] if entry.dimensions == (2,) else []
    parts += [f"Also called {', '.join(f'`{alias}`' for alias in entry.aliases)}."] if entry.aliases else []
    return " ".join(parts)


def _default(field: FieldInfo) -> str:
    if field.default == "":
        return "(none)"
    return f"{field.default}{' ' + field.unit if field.unit else ''}"


def _allowed(field: FieldInfo) -> str:
    if field.choices:
        return ", ".join(field.choices)
    if field.minimum is not None and field.maximum is not None:
        return f"{field.minimum:g} to {field.maximum:g}"
    return {"bool": "yes or no", "points": "places `z,y,x:label; …`"}.get(field.kind, "any")


if __name__ == "__main__":
    (DOCS / "reference.md").write_text(page(), encoding="utf-8")
