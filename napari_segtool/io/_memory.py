"""How much memory there is to read into."""

from __future__ import annotations

import psutil


def available_bytes() -> int:
    """Memory that can be had without pushing other programs out."""
    return int(psutil.virtual_memory().available)


def gib(size: float) -> str:
    """Return a size in GiB.

    Examples
    --------
    >>> gib(3 * 2**29)
    '1.5 GiB'
    """
    return f"{size / 2**30:.1f} GiB"
