"""Single pictures (PNG, JPEG, BMP) and folders of numbered ones as a stack."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import FormatError
from napari_segtool.core.stack import Stack
from napari_segtool.io._formats import SUFFIXES, Readable, readable_kind, refuse_folder
from napari_segtool.io._memory import available_bytes, size_text
from napari_segtool.io.recipe import Record
from napari_segtool.io.tiff import read_tiff, stack_name

_KEYWORD = b"napari-segtool\0"


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that counts: ``slice_8, slice_9, slice_10``.

    Examples
    --------
    >>> sorted(["s10.png", "s9.png", "s08.png"], key=natural_key)
    ['s08.png', 's9.png', 's10.png']
    """
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)


def read_picture(path: Path, family: Readable, *, axes: str = "") -> Stack:
    """Read one PNG, JPEG or BMP as ``YX``, or ``YXS`` where it has colours or transparency.

    Raises
    ------
    FormatError
        If it is damaged or larger than memory.
    """
    data = _decoded(path, family)
    record = png_record(path) if family == "png" else None
    spacing = record.spacing_um if record and record.shape == data.shape and len(record.spacing_um) == 2 else ()
    return Stack(data, axes.upper() or ("YX" if data.ndim == 2 else "YXS"), spacing, stack_name(path))


def read_folder(folder: Path, *, axes: str = "") -> Stack:
    """Read a folder of numbered pictures as a stack, in counting order (8, 9, 10, 11).

    Returns
    -------
    Stack
        Axes ``ZYX``, or ``ZYXS`` for colour; files that are no pictures are left out. Spacing only where the user gives it: files of
        single slices do not say how far apart they lie.

    Raises
    ------
    FormatError
        If there are no pictures, of several formats, or not all of one size and type; the odd one is named.
    """
    pictures = picture_files(folder)
    first = _slice(pictures[0])
    needed = first.nbytes * len(pictures)
    if needed > available_bytes():
        raise FormatError(f"{folder} needs {size_text(needed)} of memory, and {size_text(available_bytes())} are free.", hint="Split the folder.")
    data = np.empty((len(pictures), *first.shape), first.dtype)
    for index, path in enumerate(pictures):
        plane = first if index == 0 else _slice(path)
        if (plane.shape, plane.dtype) != (first.shape, first.dtype):
            raise _odd_one(folder, pictures)
        data[index] = plane
    return Stack(data, axes.upper() or ("ZYX" if first.ndim == 2 else "ZYXS"), (), folder.name)


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder in counting order, or raise `FormatError`."""
    try:
        files = [entry for entry in folder.iterdir() if not entry.name.startswith(".") or entry.name.startswith(".z")]
        refuse_folder(folder, [entry.name for entry in files])
        pictures = [entry for entry in files if entry.suffix.lower() in SUFFIXES and entry.is_file()]
    except PermissionError:
        raise FormatError(f"The folder {folder} may not be read: no permission.", hint="Change its permissions.") from None
    families = Counter(SUFFIXES[entry.suffix.lower()] for entry in pictures)
    if not pictures:
        raise FormatError(f"The folder {folder} holds no pictures (TIFF, PNG, JPEG or BMP).", hint="Give a folder of numbered pictures, one for each slice.")
    if len(families) > 1:
        found = " and ".join(f"{count} {family.upper()}" for family, count in families.most_common())
        raise FormatError(f"The folder {folder} mixes {found} files.", hint="Put the slices of one stack into a folder of their own.")
    return sorted(pictures, key=lambda entry: (natural_key(entry.name), entry.name))


def _slice(path: Path) -> NDArray[Any]:
    family = readable_kind(path)
    if family != "tiff":
        return _decoded(path, family)
    stack = read_tiff(path)
    if stack.axes not in ("YX", "YXS"):
        raise FormatError(
            f"{path} is itself a stack ({stack.axes}, {'×'.join(map(str, stack.shape))}), not one slice of a folder.",
            hint="Give that file by its own name, or keep only single pictures in the folder.",
        )
    return np.asarray(stack.data)


def _odd_one(folder: Path, pictures: list[Path]) -> FormatError:
    """Name the picture that differs from most."""
    kinds = {path: (plane.shape, str(plane.dtype)) for path in pictures if (plane := _slice(path)) is not None}
    usual, count = Counter(kinds.values()).most_common(1)[0]
    odd = next(path for path in pictures if kinds[path] != usual)
    return FormatError(
        f"The pictures in {folder} differ: {odd.name} is {_size(kinds[odd])}, {count} other(s) are {_size(usual)}.",
        hint="Remove it, or crop or convert all pictures to one size and type.",
    )


def _size(kind: tuple[tuple[int, ...], str]) -> str:
    shape, dtype = kind
    colour = "" if len(shape) == 2 else f" with {shape[2]} colour samples"
    return f"{shape[1]}×{shape[0]} pixels of {dtype}{colour}"


def _decoded(path: Path, family: Readable) -> NDArray[Any]:
    import imagecodecs

    decode = {"png": imagecodecs.png_decode, "jpeg": imagecodecs.jpeg8_decode, "bmp": imagecodecs.bmp_decode}[family]
    try:
        stored = path.read_bytes()
        _check_declared_size(stored, family, path)
        data: NDArray[Any] = decode(stored)
    except FormatError:
        raise
    except Exception as error:  # each codec has errors of its own
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise FormatError(f"{path} is damaged or cut off ({reason}).", hint="Copy it again from its source.") from None
    if not data.size:
        raise FormatError(f"{path} holds no pixels.", hint="Copy it again from its source.")
    return data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))


def _check_declared_size(stored: bytes, family: Readable, path: Path) -> None:
    """Refuse sizes no memory can hold before a codec asks for it."""
    if family == "png":
        width, height = struct.unpack(">II", stored[16:24])
        bits, colour = stored[24], stored[25]
        needed = width * height * {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}.get(colour, 4) * math.ceil(bits / 8)
    elif family == "bmp":
        width, height = struct.unpack("<ii", stored[18:26])
        needed = abs(width * height) * 4
    else:
        return
    if needed > available_bytes() or needed > len(stored) * 5000 + 2**20:
        raise FormatError(f"{path} is damaged, or too large: it declares {width}×{abs(height)} pixels in {len(stored)} bytes.", hint="Copy it again.")


def png_record(path: Path) -> Record | None:
    """Return what a PNG of ours says about itself."""
    try:
        with path.open("rb") as file:
            file.seek(8)
            while len(head := file.read(8)) == 8:
                length, kind = struct.unpack(">I4s", head)
                if kind in (b"IDAT", b"IEND"):
                    return None
                body = file.read(length)
                if kind == b"tEXt" and body.startswith(_KEYWORD):
                    return Record.from_text(body[len(_KEYWORD) :].decode("latin-1"))
                file.seek(4, 1)
    except FileNotFoundError:
        raise FormatError(f"There is no file {path}.", hint="Check the path.") from None
    return None


def png_bytes(data: NDArray[Any], record: Record) -> bytes:
    """Return a PNG of a ``(Y, X)`` or ``(Y, X, S)`` array of uint8 or uint16, with the record as text inside."""
    import imagecodecs

    stored = bytes(imagecodecs.png_encode(np.ascontiguousarray(data)))
    body = b"tEXt" + _KEYWORD + record.as_json().encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    header_ends = 8 + 25
    return stored[:header_ends] + chunk + stored[header_ends:]
