"""Budgets, seeds and threads: large ones train, impossible ones are refused and leave nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from napari_segtool import api
from napari_segtool.core.errors import ModelError, ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._resume import resume_run
from tests.training.blobs import TINY, blobs, tiny_run, train


@pytest.mark.parametrize(
    "asked",
    [
        {"seed": -1},
        {"seed": 2**63},
        {"minutes": math.nan},
        {"minutes": math.inf},
        {"minutes": -1},
        {"steps": -1},
        {"steps": 2.5},
        {"steps": 10**20},
        {"threads": -1},
        {"threads": 10**9},
    ],
    ids=str,
)
def test_numbers_that_no_training_can_have_are_refused_by_name_and_leave_nothing(tmp_path: Path, asked: dict[str, Any]) -> None:
    image, mask = blobs(1)
    with pytest.raises(ParameterError, match=next(iter(asked))) as refusal:
        api.train([(Stack(image, "ZYX"), mask)], "unet", run=tmp_path / "run", labels_are="mask", device="cpu", **{"steps": 1, **asked}, **TINY)
    assert "from 0 to" in refusal.value.hint
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_refuses_them_too_and_stays_as_it_is(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    before = (run.folder / "config.json").read_bytes()
    for asked in ({"minutes": math.inf}, {"minutes": math.nan}, {"seed": -3}, {"threads": 10**9}):
        with pytest.raises(ParameterError, match=next(iter(asked))):
            resume_run(run.folder, **asked)  # type: ignore[arg-type]
    assert (run.folder / "config.json").read_bytes() == before


def test_an_endless_budget_is_refused_before_a_dry_run_looks_at_anything() -> None:
    with pytest.raises(ParameterError, match="minutes = inf"):
        api.propose([], minutes=math.inf)


@pytest.mark.parametrize("seed", [20251120134500, 2**63 - 1])
def test_a_large_seed_trains(tmp_path: Path, seed: int) -> None:
    run = tiny_run(tmp_path / "run", steps=2, seed=seed, dropout=0.1)
    assert drain(train(run)).card["trained"]["seed"] == seed


def test_a_model_of_other_channels_says_what_to_do(tmp_path: Path) -> None:
    grey = tiny_run(tmp_path / "grey", steps=1)
    drain(train(grey))
    image, mask = blobs(2)
    colour = Stack(image[:, None].repeat(3, axis=1), "ZCYX")
    with pytest.raises(ModelError, match=r"1 channel\(s\), but these images have 3") as refusal:
        tiny_run(tmp_path / "colour", pairs=[(colour, mask)], start_from=grey.folder)
    assert refusal.value.hint
