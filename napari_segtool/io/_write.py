"""Write results so that Fiji, napari and tifffile read back pixels, axes and spacing, with the recipe inside.

Three dialects of TIFF, and why:

- *ImageJ* where it can say everything: uint8, uint16 or float32 in the order TZCYX(S). Fiji shows it as a calibrated hyperstack.
- *OME* for other numbers (uint32 labels) and other orders (probabilities, whose classes stand first), and above 4 GiB.
- *pages with a JSON description* (tifffile's own dialect) for pages of unknown meaning, for a single picture with more axes than two or of
  one row, whose axes the others drop, and for whatever is left. Fiji shows a plain stack.

Images are stored plain, so that they can be memory-mapped; labels are deflated, which ImageJ reads since 1.52p (2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

import napari_segtool
from napari_segtool.core.errors import FormatError
from napari_segtool.core.labels import Labels, Paint, as_label_array
from napari_segtool.core.result import Prediction, Probabilities, Segmentation, Step
from napari_segtool.core.stack import SPATIAL, Stack, check_spacing
from napari_segtool.io._atomic import replacing
from napari_segtool.io.recipe import KEY, Record

Dialect = Literal["imagej", "ome", "shaped"]
Result = Segmentation | Prediction | Probabilities | Labels | Paint | Stack
WRITABLE = (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".png")
"""Endings of files that can be written."""
_TIFF_LIMIT = 4 * 2**30 - 2**26
_WHOLE_BYTES = 2**20
_OME_DTYPES = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


def write_result(
    result: Result,
    path: str | Path,
    *,
    spacing_um: tuple[float, ...] = (),
    history: tuple[Step, ...] = (),
) -> None:
    """Write a result, or an image, as TIFF; a single picture also as PNG.

    Parameters
    ----------
    result
        Labels become the smallest of uint8, uint16 and uint32; of a `Prediction` the labels are written; probabilities become float32,
        class axis first. The data may be numpy, dask or zarr and are read plane by plane.
    path
        Where to; the ending chooses the format (`WRITABLE`).
    spacing_um, history
        For results that carry none of their own (`Labels`, `Paint`); a `Stack` carries its history in ``memo["history"]``.

    Raises
    ------
    StorageError
        If it cannot be written; whatever lay at ``path`` is as it was, and no part of a file is left.
    FormatError
        If the ending is not known, or the format cannot hold the data.
    DataError
        If labels are negative, no whole numbers, or above 4294967295.
    """
    write_results([(result, path)], spacing_um=spacing_um, history=history)


def write_results(results: Iterable[tuple[Result, str | Path]], *, spacing_um: tuple[float, ...] = (), history: tuple[Step, ...] = ()) -> None:
    """Write results that belong together, all of them or none; errors as in `write_result`."""
    with ExitStack() as places:
        for result, path in results:
            _write(_picture_of(result, spacing_um, history), Path(path).expanduser(), places)


def write_labels(labels: Labels | Paint, path: str | Path, *, spacing_um: tuple[float, ...] = (), history: tuple[Step, ...] = ()) -> None:
    """Write labels or paint as the smallest unsigned dtype that holds them; errors as in `write_result`."""
    write_result(labels, path, spacing_um=spacing_um, history=history)


def write_image(stack: Stack, path: str | Path, *, history: tuple[Step, ...] = ()) -> None:
    """Write a stack with its own dtype; errors as in `write_result`."""
    write_result(stack, path, history=history)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    with replacing(Path(path).expanduser()) as file:
        file.write(text.encode("utf-8"))


def dialect_of(axes: str, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "") -> Dialect:
    """Choose the dialect of TIFF that keeps most; see the head of this file.

    Raises
    ------
    FormatError
        If ``name`` ends with ``.ome.tif`` and OME cannot hold the data.

    Examples
    --------
    >>> dialect_of("ZYX", (8, 64, 64), np.dtype("uint8")), dialect_of("CZYX", (3, 8, 64, 64), np.dtype("float32"))
    ('imagej', 'ome')
    """
    pictures = axes.removesuffix("S")
    colours = shape[-1] if axes.endswith("S") else 0
    ordinary = pictures.endswith("YX") and set(pictures) <= set("TZCYX") and colours in (0, 3, 4)
    ordinary = ordinary and not (colours and dtype.name == "bool")
    for_ome = ordinary and dtype.name in _OME_DTYPES
    if name.lower().endswith((".ome.tif", ".ome.tiff")):
        if not for_ome:
            raise FormatError(f"OME-TIFF cannot hold {dtype.name} values with the axes {axes}.", hint="Name the file .tif, without .ome.")
        return "ome"
    single = len(pictures) > 2 and math.prod(shape[: len(pictures) - 2]) == 1
    if not ordinary or single or 1 in shape[len(pictures) - 2 : len(pictures)]:
        return "shaped"
    in_order = pictures == "".join(letter for letter in "TZCYX" if letter in pictures)
    small = math.prod(shape) * dtype.itemsize < _TIFF_LIMIT
    if in_order and small and dtype.name in (("uint8",) if colours else ("uint8", "uint16", "float32")):
        return "imagej"
    return "ome" if for_ome else "shaped"


def check_format(path: Path, axes: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a file that cannot hold such pixels; can be asked before they are worked out.

    Raises
    ------
    FormatError
        If the ending of ``path`` is not known, or its format cannot hold them.
    """
    name = path.name.lower()
    if 0 in shape:
        raise FormatError(f"There are no pixels to write to {path}: the shape is {shape}.", hint="Check the slices chosen.")
    if name.endswith(".png"):
        if axes not in ("YX", "YXS") or dtype.name not in ("bool", "uint8", "uint16") or (axes == "YXS" and shape[2] > 4):
            raise FormatError(
                f"A PNG holds one picture of uint8 or uint16, not {dtype.name} of shape {shape} ({axes}).",
                hint="Write it as .tif, or choose one slice.",
            )
    elif name.endswith((".tif", ".tiff")):
        dialect_of(axes, shape, dtype, name)
    else:
        ending = f"The ending {path.suffix!r} of {path}" if path.suffix else f"{path} has no ending, which"
        raise FormatError(f"{ending} cannot be written.", hint=f"Choose one of {', '.join(WRITABLE)}.")


@dataclass(frozen=True, eq=False)
class _Picture:
    """An array to be written as ``dtype``, and what its file says about itself; labels are known by their largest value."""

    data: Any
    dtype: np.dtype[Any]
    record: Record
    largest_label: int = -1


def _picture_of(result: Result, spacing_um: tuple[float, ...], history: tuple[Step, ...]) -> _Picture:
    if isinstance(result, Stack):
        dtype = np.dtype(result.data.dtype).newbyteorder("=")
        return _Picture(result.data, dtype, Record(result.axes, result.shape, result.spacing_um, (), (), history or result.memo.get("history", ())))
    if isinstance(result, Probabilities):
        spacing = check_spacing(result.spacing_um or spacing_um, result.axes)
        record = Record(result.axes, tuple(result.data.shape), spacing, result.class_names, result.classes, result.history or history)
        return _Picture(result.data, np.dtype(np.float32), record)
    if isinstance(result, (Labels, Paint)):
        dtype, largest = _label_dtype(result)
        spacing = check_spacing(spacing_um, result.axes)
        return _Picture(result.data, dtype, Record(result.axes, result.shape, spacing, result.class_names, (), history), largest)
    return _picture_of(result.labels, result.spacing_um or spacing_um, result.history or history)


def _label_dtype(labels: Labels | Paint) -> tuple[np.dtype[Any], int]:
    """Smallest dtype and largest value, plane by plane."""
    if np.dtype(labels.data.dtype) in (np.bool_, np.uint8):
        largest = max((int(plane.max(initial=0)) for plane in _planes(labels.data, labels.axes)), default=0)
        return np.dtype(np.uint8), largest
    dtype, largest = np.dtype(np.uint8), 0
    for plane in _planes(labels.data, labels.axes):
        whole = as_label_array(plane)
        dtype, largest = np.promote_types(dtype, whole.dtype), max(largest, int(whole.max(initial=0)))
    return dtype, largest


def _planes(data: Any, axes: str, dtype: np.dtype[Any] | None = None) -> Iterator[NDArray[Any]]:
    """Every picture with its colour samples, in storage order."""
    inner = _inner(axes)
    for index in np.ndindex(*data.shape[: len(axes) - inner]):
        yield np.ascontiguousarray(np.asarray(data[index]), dtype)


def _inner(axes: str) -> int:
    return 3 if axes.endswith("S") or axes[-3:-2] == "S" else 2


def _write(picture: _Picture, path: Path, places: ExitStack) -> None:
    """Write a picture to a file that takes its place when ``places`` is closed."""
    record, dtype = picture.record, picture.dtype
    check_format(path, record.axes, record.shape, dtype)
    if path.name.lower().endswith(".png"):
        from napari_segtool.io._pictures import png_bytes

        plane = np.asarray(picture.data).astype(np.uint8 if dtype.name == "bool" else dtype, copy=False)
        stored = png_bytes(plane, record)
        file = places.enter_context(replacing(path))
        file.write(stored)
    else:
        file = places.enter_context(replacing(path))
        _write_tiff(picture, file, dialect_of(record.axes, record.shape, dtype, path.name))
    file.flush()


def _write_tiff(picture: _Picture, file: BinaryIO, dialect: Dialect) -> None:
    import tifffile

    record, dtype = picture.record, picture.dtype
    settings = _settings(dialect, record, dtype, picture.largest_label)
    size = math.prod(record.shape) * dtype.itemsize
    # tifffile misreads the layout of an iterator of single pixels; small arrays are handed over whole
    whole = size < _WHOLE_BYTES or dtype.name == "bool"
    pixels = np.ascontiguousarray(np.asarray(picture.data), dtype) if whole else _planes(picture.data, record.axes, dtype)
    with tifffile.TiffWriter(file, bigtiff=size >= _TIFF_LIMIT, imagej=dialect == "imagej", ome=dialect == "ome", shaped=dialect == "shaped") as writer:
        writer.write(
            pixels,
            shape=record.shape,
            dtype=dtype,
            software=f"napari-segtool {napari_segtool.__version__}",
            **settings,
        )


def _settings(dialect: Dialect, record: Record, dtype: np.dtype[Any], largest_label: int) -> dict[str, Any]:
    """What tifffile's ``write`` is told besides the pixels."""
    sizes = dict(zip((axis for axis in record.axes if axis in SPATIAL), record.spacing_um, strict=False))
    notes: dict[str, Any] = {"axes": record.axes}
    settings: dict[str, Any] = {"metadata": notes, "photometric": "minisblack"}
    if dtype.name == "bool":
        pass  # eight pixels to the byte: tifffile does not mix them with colour samples
    elif record.axes.endswith("S"):
        settings |= {"planarconfig": "contig", "photometric": "rgb" if record.shape[-1] in (3, 4) else "minisblack"}
    elif record.axes[-3:-2] == "S":
        settings |= {"planarconfig": "separate", "photometric": "rgb" if record.shape[-3] in (3, 4) else "minisblack"}
    if largest_label >= 0:
        settings |= {"compression": "zlib", "compressionargs": {"level": 1}}
    if sizes:
        per_unit = 1.0 if dialect == "imagej" else 1e4  # per µm, per cm
        settings |= {"resolution": (per_unit / sizes["X"], per_unit / sizes["Y"]), "resolutionunit": "NONE" if dialect == "imagej" else "CENTIMETER"}
    if dialect == "imagej":
        notes["Info"] = record.as_json()
        if sizes:
            notes |= {"unit": "um", "spacing": sizes["Z"]} if "Z" in sizes else {"unit": "um"}
        if largest_label > 0:  # else Fiji shows labels 1, 2, 3 of 255 as black
            notes |= {"min": 0, "max": largest_label}
    else:
        notes |= {key: value for axis, size in sizes.items() for key, value in ((f"PhysicalSize{axis}", size), (f"PhysicalSize{axis}Unit", "µm"))}
        if dialect == "ome":
            notes["Description"] = record.as_json()
            if "C" in record.axes and len(record.class_names) == record.shape[record.axes.index("C")]:
                notes["Channel"] = {"Name": list(record.class_names)}
        else:
            notes[KEY] = record.as_dict()
    return settings
