"""What the window and its warm child process say to each other: JSON records, and arrays in ``.npy`` files beside them."""

from __future__ import annotations

import base64
import contextlib
import errno
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from napari_segtool.core import errors
from napari_segtool.core.errors import SegtoolError, StorageError
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import Prediction, Probabilities, Step
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target

Record = dict[str, Any]

_SLAB_BYTES = 1 << 26


def new_array(path: Path, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Make an ``.npy`` file of a shape and map it into memory, or raise `StorageError` where there is no room.

    The room is taken at once: a write to a mapped file on a full disk would end the process without a word.
    """
    try:
        array = open_memmap(path, "w+", dtype, shape)
        if array.nbytes:
            _take_room(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise StorageError(
            f"There is no room for the result in {path.parent}: {error.strerror or error}.", hint="Free some space there, or set TMPDIR to another folder."
        ) from None
    return array


def put_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to an ``.npy`` file, or raise `StorageError` where there is no room."""
    if array.nbytes:
        new_array(path, array.shape, array.dtype)[...] = array
    else:  # nothing cannot be mapped
        np.save(path, array)


def _take_room(path: Path) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # a file system that cannot reserve is no fault
            raise


def take_array(path: Path) -> NDArray[Any]:
    """Return an array that the other side wrote, and delete its file; changes stay in this process."""
    if os.name == "nt":  # a mapped file cannot be deleted there
        array: NDArray[Any] = np.load(path)
    else:
        array = np.asarray(np.load(path, mmap_mode="c")) if path.stat().st_size > _SLAB_BYTES else np.load(path)
    path.unlink()
    return array


def remove_inputs(folder: Path, number: int) -> None:
    """Delete the arrays that were handed over with a request."""
    for path in (folder / f"in-{number}.npy", *folder.glob(f"in-{number}-*.npy")):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def send_stack(stack: Stack, path: Path) -> Steps[Record]:
    """Write a stack's pixels slab by slab, whatever holds them, and return its record."""
    target = new_array(path, stack.shape, np.dtype(stack.data.dtype))
    fresh = 0
    for index in range(stack.shape[0]):
        target[index] = stack.data[index]
        fresh += target[index].nbytes
        if fresh >= _SLAB_BYTES:
            yield Progress(index + 1, stack.shape[0], "handing over")
            fresh = 0
    return stack_record(stack, path)


def stack_record(stack: Stack, path: Path) -> Record:
    """Describe a stack whose pixels lie in ``path``."""
    return {"file": path.name, "axes": stack.axes, "spacing_um": list(stack.spacing_um), "name": stack.name}


def read_stack_record(record: Mapping[str, Any], data: Any, memo: Record | None = None) -> Stack:
    """Return the stack of a record around its pixels."""
    return Stack(data, record["axes"], tuple(record["spacing_um"]), record["name"], memo or {})


def prediction_record(prediction: Prediction, files: Mapping[int, Path]) -> Record:
    """Describe a prediction; ``files`` names the file of each of its arrays by the array's `id`."""
    chances, doubt = prediction.probabilities, prediction.uncertainty
    return {
        "labels": {"file": files[id(prediction.labels.data)].name, "axes": prediction.labels.axes, "class_names": list(prediction.labels.class_names)},
        "probabilities": chances
        and {"file": files[id(chances.data)].name, "axes": chances.axes, "class_names": list(chances.class_names), "classes": list(chances.classes)},
        "uncertainty": doubt and stack_record(doubt, files[id(doubt.data)]),
        "spacing_um": list(prediction.spacing_um),
        "history": [step.as_dict() for step in prediction.history],
        "name": prediction.name,
    }


def read_prediction(record: Mapping[str, Any], folder: Path) -> Prediction:
    """Return the prediction of a record, taking its arrays."""
    labels, chances, doubt = record["labels"], record["probabilities"], record["uncertainty"]
    spacing_um, history = tuple(record["spacing_um"]), tuple(Step.from_dict(step) for step in record["history"])
    return Prediction(
        labels=Labels(take_array(folder / labels["file"]), labels["axes"], tuple(labels["class_names"])),
        probabilities=chances
        and Probabilities(take_array(folder / chances["file"]), chances["axes"], tuple(chances["class_names"]), tuple(chances["classes"]), spacing_um, history),
        uncertainty=doubt and read_stack_record(doubt, take_array(folder / doubt["file"]), {"history": history}),
        spacing_um=spacing_um,
        history=history,
        name=record["name"],
    )


def target_record(target: Target) -> Record:
    """Describe a question; the pixels of its region travel packed."""
    region = target.region
    packed = region and {
        "start": list(region.start),
        "shape": list(region.mask.shape),
        "bits": base64.b64encode(zlib.compress(np.packbits(region.mask).tobytes(), 1)).decode(),
    }
    return {"class_value": target.class_value, "point": list(target.point), "plane": list(target.plane), "region": packed, "against": target.against}


def read_target(record: Mapping[str, Any]) -> Target:
    """Return the question of a record."""
    packed, region = record["region"], None
    if packed:
        bits = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), np.uint8)
        shape = tuple(packed["shape"])
        region = Region(np.unpackbits(bits, count=math.prod(shape)).astype(bool).reshape(shape), tuple(packed["start"]))
    return Target(int(record["class_value"]), tuple(record["point"]), tuple(record["plane"]), region, int(record["against"]))


def overlay_record(overlay: Stack, path: Path) -> Record:
    """Describe an explanation whose pixels lie in ``path``."""
    memo = {**overlay.memo, "plane": list(overlay.memo["plane"]), "history": [step.as_dict() for step in overlay.memo["history"]]}
    return {**stack_record(overlay, path), "memo": memo}


def read_overlay(record: Mapping[str, Any], folder: Path) -> Stack:
    """Return the explanation of a record, taking its pixels."""
    memo = {**record["memo"], "plane": tuple(record["memo"]["plane"]), "history": tuple(Step.from_dict(step) for step in record["memo"]["history"])}
    return read_stack_record(record, take_array(folder / record["file"]), memo)


def error_record(error: BaseException, details: str) -> Record:
    """Describe an error; ``details`` is what a developer wants to see."""
    message, hint = (error.message, error.hint) if isinstance(error, SegtoolError) else (f"{type(error).__name__}: {error}", "")
    return {"type": type(error).__name__, "message": message, "hint": hint, "details": details}


def read_error(record: Mapping[str, Any]) -> SegtoolError:
    """Return the error of a record; one that was not expected becomes a plain `SegtoolError` with the details as a note."""
    kind = getattr(errors, str(record["type"]), None)
    if isinstance(kind, type) and issubclass(kind, SegtoolError):
        error = kind(record["message"], hint=record["hint"])
    else:
        error = SegtoolError(f"Something unexpected went wrong: {record['message']}.", hint="This is a fault of napari-segtool. Details has what to report.")
    if record["details"]:
        error.add_note(record["details"])
    return error
