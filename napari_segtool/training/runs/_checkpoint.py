"""Checkpoints: tensors as safetensors, the rest as JSON with the checksum of the tensors; two generations, never a pickle."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from napari_segtool.training.runs._events import write_atomically

GENERATIONS = 2


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training after a step.

    Parameters
    ----------
    step
        Finished steps.
    tensors
        Weights, their average, and the optimiser's moments, by name.
    facts
        Everything else, JSON-ready.
    """

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and drop all but the latest two.

    The JSON file is written last: a checkpoint is there when that is. If the disk is full, the older generation makes room.

    Raises
    ------
    OSError
        If it cannot be written; the latest checkpoint before is still there.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()})
    record = {"format": 1, "step": checkpoint.step, "sha256": hashlib.sha256(data).hexdigest(), "facts": dict(checkpoint.facts)}
    text = json.dumps(record, allow_nan=False).encode()
    stem = f"step-{checkpoint.step:08d}"
    try:
        _write_both(folder, stem, data, text)
    except OSError as error:
        older = [path for path in _records(folder)[1:] if path.stem != stem]
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not older:
            raise
        for path in older:
            _drop(path)
        _write_both(folder, stem, data, text)
    for path in _records(folder)[GENERATIONS:]:
        _drop(path)


def read_checkpoint(folder: Path, tell: Callable[[str], None]) -> Checkpoint | None:
    """Return the latest checkpoint that is whole, or None if there is none.

    Parameters
    ----------
    folder
        ``checkpoints/`` of the run.
    tell
        Called with a sentence for each damaged one that is passed over.
    """
    for path in _records(folder):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            data = path.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(data).hexdigest() != record["sha256"]:
                raise ValueError("its checksum is wrong")
            return Checkpoint(int(record["step"]), load(data), record["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            tell(f"The checkpoint {path.stem} is damaged ({error}); going on from the one before.")
    return None


def drop_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the latest ``keep`` checkpoints."""
    for path in _records(folder)[keep:]:
        _drop(path)


def _write_both(folder: Path, stem: str, data: bytes, text: bytes) -> None:
    tensors = folder / f"{stem}.safetensors"
    write_atomically(tensors, data)
    try:
        write_atomically(folder / f"{stem}.json", text)
    except OSError:
        if not (folder / f"{stem}.json").exists():
            tensors.unlink(missing_ok=True)
        raise


def _records(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.json"), reverse=True)


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".safetensors").unlink(missing_ok=True)
