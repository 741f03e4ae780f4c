"""Event files of TensorBoard, of scalars only. Their format has not changed since 2015 and is small; TensorBoard itself need not be installed.

A file is a row of records: length (uint64), masked CRC-32C of the length, data, masked CRC-32C of the data, all little-endian. The data are protocol
buffer messages ``Event``; see ``tensorboard/compat/proto/event.proto`` and ``tensorflow/core/lib/io/record_writer.h`` for the numbers of the fields.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY, _SESSION_LOG = 1, 2, 3, 5, 7
_VALUE, _TAG, _SIMPLE_VALUE, _STATUS, _START = 1, 1, 2, 1, 1
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5


class TensorboardFile:
    """Appends scalars to a new event file.

    Parameters
    ----------
    folder
        Made if it is not there; ``tensorboard --logdir`` takes it or any folder above it.
    wall_time
        Seconds since 1970.
    step
        Step that the training goes on from: later ones in older files of the folder are taken back.

    Raises
    ------
    OSError
        If it cannot be written; so does `add`.
    """

    def __init__(self, folder: Path, wall_time: float, step: int = 0) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / f"events.out.tfevents.{int(wall_time)}.{os.getpid()}.{len(list(folder.iterdir()))}"
        data = framed(_field(_WALL_TIME, wall_time) + _field(_FILE_VERSION, "brain.Event:2"))
        if step:
            started = _field(_STATUS, _START)
            data += framed(_field(_WALL_TIME, wall_time) + _field(_STEP, step + 1) + _field(_SESSION_LOG, started))
        self._append(data)

    def add(self, wall_time: float, step: int, scalars: Mapping[str, float]) -> None:
        """Append the values of a step by their tags."""
        summary = b"".join(_field(_VALUE, _field(_TAG, tag) + _simple(value)) for tag, value in scalars.items())
        self._append(framed(_field(_WALL_TIME, wall_time) + _field(_STEP, step) + _field(_SUMMARY, summary)))

    def _append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


def framed(data: bytes) -> bytes:
    """Return a record with its length and checksums."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(crc32c(length))) + data + struct.pack("<I", _masked(crc32c(data)))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    table = _table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    entries = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        entries.append(number)
    return tuple(entries)


def _masked(crc: int) -> int:
    """A checksum of data that hold checksums is weak; so those in files are turned and moved."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _field(number: int, value: float | int | str | bytes) -> bytes:
    """Encode one field: a double, a number, or bytes."""
    if isinstance(value, float):
        return _varint(number << 3 | _DOUBLE) + struct.pack("<d", value)
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _simple(value: float) -> bytes:
    return _varint(_SIMPLE_VALUE << 3 | _FLOAT) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
