"""A training that is refused before it began leaves its place as it was; one that began stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool import api
from napari_segtool.core.errors import DataError, DeviceError, ModelError, ParameterError, SegtoolError, StorageError
from napari_segtool.core.labels import Labels
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._refused import gone_if_refused

SMALL: dict[str, Any] = {"network": "unet", "base_channels": 4, "depth": 2, "patch_px": 32, "batch": 1}


def pair(*shape: int) -> tuple[Stack, Labels]:
    image = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    axes = "ZYX"[-len(shape) :]
    return Stack(image, axes), Labels((image > 100).astype(np.uint8), axes)


def train(run: Path, *shape: int, **settings: Any) -> Any:
    return segtool.train([pair(*(shape or (64, 64)))], "unet", run=run, labels_are="mask", **{"steps": 1, "device": "cpu", **settings})


@pytest.mark.parametrize(
    ("settings", "shape", "error"),
    [
        ({"patch_px": 16, "depth": 4}, (64, 64), ParameterError),
        ({**SMALL, "loss": "weighted-cross-entropy(weights=1,2,3)"}, (64, 64), SegtoolError),
        ({**SMALL, "initialisation": "imagenet"}, (64, 64), SegtoolError),
        ({"network": "unet2015", "dimensions": "3-D"}, (8, 64, 64), SegtoolError),
        ({"device": "cuda:99"}, (64, 64), DeviceError),
        ({"device": "gpu"}, (64, 64), DeviceError),
    ],
    ids=["patch", "loss", "initialisation", "3-D", "device", "no device"],
)
def test_a_refused_training_leaves_nothing_so_that_the_corrected_one_finds_its_place(
    tmp_path: Path, settings: dict[str, Any], shape: tuple[int, ...], error: type[SegtoolError]
) -> None:
    with pytest.raises(error):
        train(tmp_path / "run", *shape, **settings)
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_empty_folder_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ParameterError):
        train(tmp_path / "run", patch_px=16, depth=4)
    assert list((tmp_path / "run").iterdir()) == []
    train(tmp_path / "run", **SMALL)
    assert (tmp_path / "run" / "model").is_dir()


def test_a_model_of_another_network_to_go_on_from_leaves_nothing(tmp_path: Path) -> None:
    train(tmp_path / "old", **SMALL)
    with pytest.raises(ModelError):
        train(tmp_path / "run", network="unet2015", model=tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_run_in_the_way_is_not_touched(tmp_path: Path) -> None:
    train(tmp_path / "run", **SMALL)
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(StorageError, match="already holds a run"):
        train(tmp_path / "run", patch_px=16, depth=4)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_a_repetition_that_is_refused_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path / "old", **SMALL)
    proposal = tmp_path / "old" / "proposal.json"
    proposal.write_text(proposal.read_text().replace('"patch_px": 32', '"patch_px": 2'))
    with pytest.raises(SegtoolError):
        segtool.drain(api.repeat_steps(tmp_path / "old", run=tmp_path / "new"))
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def make_and_raise(folder: Path, leave: Callable[[Path], object], error: BaseException) -> None:
    with gone_if_refused(folder):
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        leave(folder)
        raise error


@pytest.mark.parametrize(
    "leave",
    [
        lambda folder: (folder / "events.jsonl").write_text('{"kind": "start", "step": 0}\n'),
        lambda folder: (folder / "events.jsonl").write_text('{"kind": "cancelled"}\n'),
        lambda folder: (folder / "checkpoints" / "1.safetensors").touch(),
        lambda folder: (folder / "model").mkdir(),
    ],
    ids=["began", "cancelled", "checkpoint", "model"],
)
def test_a_run_that_began_stays(tmp_path: Path, leave: Callable[[Path], object]) -> None:
    folder = tmp_path / "run"
    with pytest.raises(DataError):
        make_and_raise(folder, leave, DataError("Something is wrong."))
    assert (folder / "config.json").is_file()


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, ValueError])
def test_a_run_that_was_interrupted_or_met_a_bug_stays(tmp_path: Path, error: type[BaseException]) -> None:
    folder = tmp_path / "run"
    with pytest.raises(error):
        make_and_raise(folder, Path.exists, error())
    assert (folder / "config.json").is_file()
