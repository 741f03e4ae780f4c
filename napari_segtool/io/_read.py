"""Read whatever the user names: choose by what the file is, not by what it is called."""

from __future__ import annotations

from pathlib import Path

from napari_segtool.core.stack import Stack, corrected
from napari_segtool.io._formats import readable_kind
from napari_segtool.io._pictures import read_folder, read_picture
from napari_segtool.io.tiff import read_tiff


def read_stack(path: str | Path, *, axes: str = "", spacing_um: tuple[float, ...] = ()) -> Stack:
    """Read a TIFF, a PNG, JPEG or BMP, or a folder of numbered pictures.

    Parameters
    ----------
    path
        File or folder.
    axes
        One letter for each dimension, in place of what the file says; empty believes the file.
    spacing_um
        Size of a sample along Z, Y, X as far as they are there, in µm, in place of what the file says. Three values for a stack of
        pages of unknown meaning (``QYX``) say that the pages are sections.

    Returns
    -------
    Stack
        Values and dtype as stored. Large uncompressed TIFFs are read-only memory maps.

    Raises
    ------
    FormatError
        If it is missing, empty, damaged, cut off, may not be read, or of a format that cannot be read yet, which is named.
    AxesError, SpacingError
        If ``axes`` or ``spacing_um`` do not fit the pixels.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        stack = read_folder(path, axes=axes)
    else:
        family = readable_kind(path)
        stack = read_tiff(path, axes=axes) if family == "tiff" else read_picture(path, family, axes=axes)
    return corrected(stack, axes, tuple(spacing_um))
