"""Read TIFF in every flavour tifffile knows: ImageJ, OME, BigTIFF, pages, colour, compressed, pyramids, any byte order."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, FormatError, SegtoolError
from napari_segtool.core.stack import KNOWN_AXES, PAGES, SPATIAL, Stack
from napari_segtool.io._memory import available_bytes, size_text
from napari_segtool.io._spacing import Calibration, calibration_of, stored_resolution_um
from napari_segtool.io.recipe import KEY, Record

MAPPED_FROM_BYTES = 64 * 2**20
"""Uncompressed images of at least this size stay on disk and are read piece by piece."""
_HIGHEST_COMPRESSION = 50_000
_DAMAGE = (
    "invalid page offset",
    "invalid offset to page",
    "corrupted tag list",
    "corrupted file",
    "circular reference",
    "failed to reshape",
    "does not match page shape",
    "missing data are zeroed",
    "missing data offset",
)
"""What tifffile only logs, and goes on with fewer pages or with zeros."""
_LOST_TAG = re.compile(r"TiffTag (256|257|258|259|262|270|273|277|278|279|284|317|322|323|324|325|339) @\d+> invalid")
"""A tag that tifffile leaves out, though the layout of the pixels, or the axes and spacing (270), hang on it."""


@dataclass(frozen=True)
class TiffFacts:
    """What a TIFF says about its first image, pixels unread.

    Parameters
    ----------
    axes, shape, dtype
        As `read_tiff` returns them; ``axes`` in tifffile's letters.
    calibration
        Sizes of a sample that it states, perhaps not for every axis.
    series
        Shape of each image in the file; only the first is read.
    levels
        Resolutions of the first image; only the finest is read.
    kind
        Dialect, in tifffile's word ("imagej", "ome", "shaped", "uniform", …).
    record
        Our own notes, where we wrote the file.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    calibration: Calibration
    series: tuple[tuple[int, ...], ...]
    levels: int
    kind: str
    record: Record | None


def read_tiff(path: str | Path, *, axes: str = "") -> Stack:
    """Read the first image of a TIFF at its finest resolution.

    Parameters
    ----------
    path
        The file.
    axes
        The user's axes, in place of those the file states.

    Returns
    -------
    Stack
        Axes, shape and values as the file holds them, in the machine's byte order; colour palettes are not applied. The spacing is
        that of the file where it states one for every spatial axis, else ``()``. A resolution that is one for printing (whole dots
        per inch, or one sample per unit) is no spacing. Large uncompressed images are read-only memory maps.

    Raises
    ------
    FormatError
        If the file is missing, no TIFF, damaged, cut off, empty, compressed in an unknown way, or larger than memory.
    AxesError
        If ``axes`` do not fit, or the file's own have no place in a `Stack`.
    """
    path = Path(path)
    with _opened(path) as (tif, heard):
        series = _first_series(tif, path)
        _check_whole(tif, series, heard, path)
        record = _record_of(tif, series)
        calibration = calibration_of(tif, series)
        data = _pixels(tif, series, path)
        shape, letters = _layout(series, record)
        if data.size != math.prod(shape) or 0 in shape:
            raise FormatError(f"{path} is damaged: it says its shape is {shape}, but the pixels have shape {data.shape}.", hint=_HINT)
        data = data.reshape(shape)
        known = axes.upper() or known_axes(letters, shape, str(path))
        return Stack(data, known, _spacing(calibration, record, known, series), stack_name(path))


def tiff_facts(path: str | Path) -> TiffFacts:
    """Return what a TIFF says about itself without reading its pixels; errors as in `read_tiff`."""
    path = Path(path)
    with _opened(path) as (tif, heard):
        series = _first_series(tif, path)
        _check_whole(tif, series, heard, path)
        record = _record_of(tif, series)
        shape, letters = _layout(series, record)
        shapes = tuple(tuple(int(n) for n in one.shape) for one in tif.series)
        dtype = np.dtype(series.dtype).newbyteorder("=")
        return TiffFacts(letters, shape, dtype, calibration_of(tif, series), shapes, len(series.levels), series.kind, record)


def known_axes(letters: str, shape: tuple[int, ...], name: str) -> str:
    """Return tifffile's axes in the letters a `Stack` knows; axes of other meaning become pages (Q, then I).

    Examples
    --------
    >>> known_axes("TZCYX", (2, 2, 2, 8, 8), "a.tif"), known_axes("QQYX", (2, 2, 8, 8), "a.tif")
    ('TZCYX', 'QIYX')
    """
    free = [page for page in PAGES[::-1] if page not in letters]
    known = ""
    for letter in letters:
        if letter in KNOWN_AXES and letter not in known:
            known += letter
        elif free:
            known += free.pop(0)
        else:
            raise AxesError(
                f"{name} has {len(shape)} dimensions {shape}, and more than two of them are not named ({letters}).",
                hint="Say what they are, one letter each, for example --axes TZCYX.",
            )
    return known


def stack_name(path: Path) -> str:
    """Name of a file without its endings (``cells.ome.tif`` → ``cells``)."""
    return path.stem.removesuffix(".ome")


_HINT = "Copy it again from its source, or open it in Fiji and save it as TIFF."


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, list[str]]]:
    """Open a TIFF; whatever goes wrong inside becomes one `FormatError`, and what tifffile logs is returned, not printed."""
    heard: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        heard.append(record.getMessage())
        return False

    logger = tifffile.logger()
    logger.addFilter(keep)
    try:
        with np.errstate(all="ignore"), tifffile.TiffFile(path) as tif:
            yield tif, heard
    except SegtoolError:
        raise
    except FileNotFoundError:
        raise FormatError(f"There is no file {path}.", hint="Check the path.") from None
    except PermissionError:
        raise FormatError(f"{path} may not be read: no permission.", hint="Change its permissions, or copy it to a folder of yours.") from None
    except Exception as error:  # a damaged file can make tifffile raise anything
        raise _explained(error, path) from None
    finally:
        logger.removeFilter(keep)


def _explained(error: Exception, path: Path) -> FormatError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MemoryError):
        return FormatError(f"{path} does not fit into memory ({text}).", hint="Crop it, or save it uncompressed: then it is read from disk piece by piece.")
    if isinstance(error, tifffile.TiffFileError) and "not a TIFF" in text:
        return FormatError(f"{path} is not a TIFF file.", hint=_HINT)
    if "not supported" in text or "requires the 'imagecodecs'" in text:
        return FormatError(f"{path} is stored in a way that cannot be read: {text}.", hint="Open it in Fiji and save it as TIFF without compression.")
    return FormatError(f"{path} is damaged or cut off ({text[:160]}).", hint=_HINT)


def _first_series(tif: Any, path: Path) -> Any:
    if not len(tif.pages) or not tif.series:
        raise FormatError(f"{path} holds no picture.", hint=_HINT)
    series = tif.series[0].levels[0]
    if series.dtype is None or np.dtype(series.dtype).kind not in "biuf":
        kind = "no pixels" if series.dtype is None else f"{np.dtype(series.dtype).name} values"
        raise FormatError(f"{path} holds {kind}; images of whole or real numbers can be read.", hint="Save the real part or the magnitude as TIFF.")
    if math.prod(series.shape) == 0:
        raise FormatError(f"{path} holds no pixels: its shape is {tuple(series.shape)}.", hint=_HINT)
    return series


def _check_whole(tif: Any, series: Any, heard: list[str], path: Path) -> None:
    """Refuse a file that lacks part of its pixels, or that declares more than it can hold, before anything is allocated."""
    absent = next((match[1] for line in heard if (match := re.search(r"series failed to read '([^']+)'", line))), "")
    if absent:
        raise FormatError(f"{path} is one of a set of files, of which {absent} is missing or damaged.", hint="Put all files of the set into one folder.")
    complaint = next((line for line in heard if any(mark in line.lower() for mark in _DAMAGE) or _LOST_TAG.search(line)), "")
    if complaint:
        raise FormatError(f"{path} is damaged or cut off ({_plain(complaint)}).", hint=_HINT)
    needed = math.prod(series.shape) * np.dtype(series.dtype).itemsize
    if series.dataoffset is not None and not _in_several_files(tif, series):
        _check_end(series.dataoffset + needed, tif.filehandle.size, path)
        return
    held, sparse = 0, False
    for page in series.pages:
        if page is None:
            continue
        size = page.parent.filehandle.size
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            held += count
            sparse = sparse or not count
            if count:
                _check_end(start + count, size, path)
    page = series.keyframe
    plain = page.compression == 1 and not page.is_subsampled and not (sparse and page.is_tiled)
    stored = math.prod(series.shape) * page.bitspersample // 8
    if (plain and stored > held) or (needed > MAPPED_FROM_BYTES and needed > held * _HIGHEST_COMPRESSION):
        raise FormatError(f"{path} is damaged: it declares {size_text(stored)} of pixels and holds {size_text(held)}.", hint=_HINT)


def _check_end(end: int, size: int, path: Path) -> None:
    if end > size:
        raise FormatError(f"{path} is cut off: its pixels end at byte {end}, but the file at byte {size}.", hint="Copy it again from its source.")


def _plain(line: str) -> str:
    """A line of tifffile's log without the name of its objects."""
    return (line.rpartition(">")[2].strip(" )\"'") or line)[:160]


def _in_several_files(tif: Any, series: Any) -> bool:
    return any(page is not None and page.parent is not tif for page in series.pages) if series.kind in ("ome", "mmstack") else False


def _pixels(tif: Any, series: Any, path: Path) -> NDArray[Any]:
    dtype = np.dtype(tif.byteorder + np.dtype(series.dtype).char) if np.dtype(series.dtype).itemsize > 1 else np.dtype(series.dtype)
    needed, offset = math.prod(series.shape) * dtype.itemsize, series.dataoffset
    mappable = offset is not None and series.keyframe.is_memmappable and not _in_several_files(tif, series)
    if mappable and needed >= MAPPED_FROM_BYTES and dtype.isnative and offset % dtype.itemsize == 0:
        return np.memmap(path, dtype.newbyteorder("="), "r", offset, tuple(series.shape))
    if needed > available_bytes():
        raise FormatError(
            f"{path} needs {size_text(needed)} of memory, and {size_text(available_bytes())} are free.",
            hint="Crop it, or save it uncompressed in this machine's byte order: then it is read from disk piece by piece.",
        )
    data: NDArray[Any] = series.asarray()
    if not data.dtype.isnative:
        data = data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
    return data


def _layout(series: Any, record: Record | None) -> tuple[tuple[int, ...], str]:
    """Shape and axes of the series, with axes of length one put back where our notes say so and still fit."""
    shape, letters = tuple(int(n) for n in series.shape), str(series.axes)
    if record is not None and len(record.axes) == len(record.shape):
        longer = [(n, axis) for n, axis in zip(record.shape, record.axes, strict=True) if n > 1]
        if longer == [(n, axis) for n, axis in zip(shape, letters, strict=False) if n > 1]:
            return record.shape, record.axes
    return shape, letters


def _spacing(calibration: Calibration, record: Record | None, axes: str, series: Any) -> tuple[float, ...]:
    """The file's spacing; in the exact figures of our notes unless another program has changed it since."""
    spatial = [axis for axis in axes if axis in SPATIAL]
    if record is not None and len(record.spacing_um) == len([axis for axis in record.axes if axis in SPATIAL]):
        noted = dict(zip((axis for axis in record.axes if axis in SPATIAL), record.spacing_um, strict=True))
        stated = calibration.found_um if calibration.source in ("OME", "ImageJ") else stored_resolution_um(series.keyframe)
        unchanged = {"Y", "X"} <= set(stated) and all(math.isclose(noted.get(axis, size), size, rel_tol=1e-4) for axis, size in stated.items())
        if unchanged and all(axis in noted for axis in spatial):
            return tuple(noted[axis] for axis in spatial)
    return calibration.spacing(axes)


def _record_of(tif: Any, series: Any) -> Record | None:
    if series.kind == "shaped":
        notes = tif.shaped_metadata
        return Record.from_dict(notes[0].get(KEY, {})) if notes else None
    if series.kind == "imagej":
        return Record.from_text(str((tif.imagej_metadata or {}).get("Info", "")))
    if series.kind == "ome":
        try:
            description = ElementTree.fromstring(tif.ome_metadata or "<OME/>").findtext("{*}Image/{*}Description")
        except ElementTree.ParseError:
            return None
        return Record.from_text(description or "")
    return None
