"""Write docs/reference.md from the registries: ``python docs/reference.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_segtool.cli.list_ import KINDS
from napari_segtool.core.params import FieldInfo, describe

INTRODUCTIONS = {
    "methods": "Segment without learning. `segtool segment NAME IMAGE -o OUT`, `segtool.segment(stack, NAME)`, panel *Segment*.",
    "filters": "Change the picture. `segtool filter NAME IMAGE -o OUT`, `segtool.apply_filter(stack, NAME)`.",
    "learners": "Learn a model. `segtool train --learner NAME --set key=value`, `segtool.train(pairs, NAME)`, panel *Train*.",
    "networks": "Architectures inside the learners.",
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
            if entry.reference:
                yield from ("", f"Source: {entry.reference}")
            fields = describe(entry.params)
            if fields:
                yield from ("", "| parameter | default | allowed | what it does |", "|---|---|---|---|")
                yield from (f"| `{field.name}` | {_default(field)} | {_allowed(field)} | {field.help} |" for field in fields)


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
    Path(__file__).with_name("reference.md").write_text(page(), encoding="utf-8")
