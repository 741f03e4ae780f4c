"""Checkpoints: two generations, the damaged one passed over, the last good one safe from a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_segtool.training.runs import _checkpoint
from napari_segtool.training.runs._checkpoint import Checkpoint, read_checkpoint, write_checkpoint


def save(folder: Path, step: int) -> None:
    write_checkpoint(folder, Checkpoint(step, {"weight": torch.full((3,), float(step))}, {"seconds": step / 2}))


def refuse(text: str) -> None:
    raise AssertionError(text)


def test_the_latest_comes_back_equal(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 12)
    checkpoint = read_checkpoint(tmp_path, refuse)
    assert checkpoint is not None
    assert checkpoint.step == 12
    assert checkpoint.tensors["weight"].tolist() == [12, 12, 12]
    assert checkpoint.facts["seconds"] == 6


def test_only_two_generations_are_kept_and_no_pickle(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-0000000{n}.{end}" for n in (3, 4) for end in ("json", "safetensors")]


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path, refuse) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "json"])
def test_a_damaged_latest_falls_back_to_the_one_before_and_says_so(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 5)
    save(tmp_path, 12)
    tensors = tmp_path / "step-00000012.safetensors"
    if damage == "flip":
        data = bytearray(tensors.read_bytes())
        data[-1] ^= 255
        tensors.write_bytes(data)
    elif damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:20])
    elif damage == "gone":
        tensors.unlink()
    else:
        tensors.with_suffix(".json").write_text('{"step": 12')
    told: list[str] = []
    checkpoint = read_checkpoint(tmp_path, told.append)
    assert checkpoint is not None
    assert checkpoint.step == 5
    assert len(told) == 1
    assert "step-00000012" in told[0]


def test_all_damaged_is_none_with_a_word_for_each(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 12)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    told: list[str] = []
    assert read_checkpoint(tmp_path, told.append) is None
    assert len(told) == 2


def test_a_full_disk_leaves_the_last_good_one_and_no_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 5)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 12)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000005.json", "step-00000005.safetensors"]
    checkpoint = read_checkpoint(tmp_path, refuse)
    assert checkpoint is not None
    assert checkpoint.step == 5


def test_where_there_is_room_for_two_only_the_older_makes_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 5)
    save(tmp_path, 12)
    honest = _checkpoint.write_atomically

    def tight(path: Path, data: bytes) -> None:
        if path.suffix == ".safetensors" and len(list(tmp_path.glob("*.safetensors"))) >= 2:
            raise OSError(28, "No space left on device")
        honest(path, data)

    monkeypatch.setattr(_checkpoint, "write_atomically", tight)
    save(tmp_path, 20)
    kept: Any = read_checkpoint(tmp_path, refuse)
    assert kept.step == 20
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["step-00000012", "step-00000020"]
