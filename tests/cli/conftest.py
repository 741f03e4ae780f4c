from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool.cli._app import run


class Command:
    """Runs one command line in this process and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: object) -> int:
        code = run([str(word) for word in words])
        self.out, self.err = self._capsys.readouterr()
        return code

    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def two_levels() -> np.ndarray:
    """Three slices of a bright square on dark ground, with a little noise."""
    image = np.random.default_rng(0).integers(20, 40, (3, 48, 48)).astype(np.uint8)
    image[:, 12:36, 12:36] += 150
    return image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.tif"
    segtool.write(segtool.Stack(two_levels(), "ZYX", (0.05, 0.004, 0.004), "image"), path)
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.tif"
    segtool.write(segtool.Segmentation(segtool.Labels((two_levels() > 100).astype(np.uint8), "ZYX"), (0.05, 0.004, 0.004)), path)
    return path
