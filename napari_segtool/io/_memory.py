"""How much memory there is to read into."""

from __future__ import annotations

import psutil


def available_bytes() -> int:
    """Memory that can be had without pushing other programs out."""
    return int(psutil.virtual_memory().available)


def size_text(size: float) -> str:
    """Return a number of bytes in the unit people would use.

    Examples
    --------
    >>> size_text(3 * 2**29), size_text(5_300_000), size_text(400)
    ('1.5 GiB', '5.1 MiB', '400 bytes')
    """
    for unit, bytes_ in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size:.0f} bytes"
