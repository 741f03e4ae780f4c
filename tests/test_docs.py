"""The guides' code runs."""

import re
import shlex
from pathlib import Path

import pytest

from napari_segtool.cli._app import run
from napari_segtool.core.registry import FILTERS, METHODS

DOCS = Path(__file__).parents[1] / "docs"


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


GUIDES = {
    "quickstart.md": {"labels.tif", "kmeans.tif", "again.tif", "why.tif", "scores.json"},
    "training.md": {"cells.tif", "truth.tif", "predicted.tif", "examples.png", "weights.tif"},
    "explain.md": {"slice.tif", "edges.tif", "where.tif", "calm.tif", "object.tif", "trust.json", "filters.tif", "maps.tif", "places.json"},
    "classical.md": {"three.tif", "calm.tif", "cells.tif", "grown.tif", "scores.json"},
}


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_runs_as_written(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {})
    lines = [line for code in blocks(page, "sh") for line in code.splitlines() if line]
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "segtool"
        assert run(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert GUIDES[page] <= {path.name for path in tmp_path.iterdir()}


def test_the_reference_is_what_the_registries_say():
    code = (DOCS / "reference.py").read_text(encoding="utf-8")
    module: dict = {"__name__": "reference", "__file__": str(DOCS / "reference.py")}
    exec(compile(code, "reference.py", "exec"), module)
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == module["page"](), "run: python docs/reference.py"


@pytest.mark.parametrize(
    ("kind", "entry"), [("method", entry) for entry in METHODS] + [("filter", entry) for entry in FILTERS], ids=lambda one: getattr(one, "name", one)
)
def test_every_method_and_filter_has_a_section_with_a_picture_and_what_it_is_good_for(kind, entry):
    picture = f"images/gallery/{kind}-{entry.name}.png"
    assert (DOCS / picture).is_file(), "run: python docs/gallery.py"
    assert (DOCS / picture).stat().st_size <= 30_000
    heading = f"### `{entry.name}`: {entry.title}\n"
    sections = [part.split("\n### ")[0] for part in (DOCS / "reference.md").read_text(encoding="utf-8").split(heading)[1:]]
    section = next(part for part in sections if picture in part)  # a filter may share its name with a method
    assert entry.summary in section
    assert entry.reference in section


@pytest.mark.parametrize("page", sorted(path.name for path in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]))
def test_links_of_a_page_lead_somewhere(page):
    path = DOCS / page if (DOCS / page).exists() else DOCS.parent / page
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), f"{page}: {target}"
