"""Tell what kind of file something is, by its first bytes and then by its ending, and say what to do with what cannot be read."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_segtool.core.errors import FormatError

Readable = Literal["tiff", "png", "jpeg", "bmp"]
SUFFIXES = {".tif": "tiff", ".tiff": "tiff", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".bmp": "bmp"}
"""Endings of pictures that can be read, and the family of each."""
_HEAD_BYTES = 512
_FIJI = "Open it in Fiji (File > Import > Bio-Formats) and save it as TIFF."
_FILM = "Save its frames as a TIFF stack from Fiji (File > Import > Movie (FFMPEG))."


@dataclass(frozen=True)
class _Kind:
    name: str
    hint: str = _FIJI
    magic: tuple[tuple[int, bytes], ...] = ()
    suffixes: tuple[str, ...] = ()


_READABLE: tuple[tuple[Readable, tuple[bytes, ...]], ...] = (
    ("tiff", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("png", (b"\x89PNG\r\n\x1a\n",)),
    ("jpeg", (b"\xff\xd8\xff",)),
    ("bmp", (b"BM",)),
)
_KINDS = (
    _Kind(
        "an MRC file",
        "Open it in Fiji (Bio-Formats), or convert it with IMOD's mrc2tif, and save it as TIFF.",
        ((208, b"MAP "), (208, b"MAP\0")),
        (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali"),
    ),
    _Kind("an NRRD file", "Drag it onto Fiji's window and save it as TIFF.", ((0, b"NRRD"),), (".nrrd", ".nhdr")),
    _Kind(
        "a NIfTI file",
        "Open it in Fiji (File > Import > NIfTI-Analyze) and save it as TIFF.",
        ((344, b"n+1\0"), (344, b"ni1\0"), (4, b"n+2\0")),
        (".nii", ".hdr", ".img"),
    ),
    _Kind("a MetaImage file", "Drag it onto Fiji's window and save it as TIFF.", ((0, b"ObjectType"), (0, b"NDims")), (".mha", ".mhd")),
    _Kind("a DICOM file", "Drag it onto Fiji's window and save it as TIFF.", ((128, b"DICM"),), (".dcm", ".dicom", ".ima")),
    _Kind("a Gatan DM3 file", "Save it as TIFF from DigitalMicrograph, or drag it onto Fiji's window.", ((0, b"\0\0\0\x03\0"),), (".dm3",)),
    _Kind("a Gatan DM4 file", "Save it as TIFF from DigitalMicrograph, or drag it onto Fiji's window.", ((0, b"\0\0\0\x04\0\0\0\0"),), (".dm4",)),
    _Kind(
        "an HDF5 file",
        "Save the image inside as TIFF: in Fiji with File > Import > HDF5, or with h5py and tifffile.",
        ((0, b"\x89HDF\r\n\x1a\n"),),
        (".h5", ".hdf5", ".hdf", ".ims", ".ilp"),
    ),
    _Kind("a Zeiss CZI file", magic=((0, b"ZISRAWFILE"),), suffixes=(".czi",)),
    _Kind("a Leica LIF file", magic=((0, b"\x70\0\0\0"),), suffixes=(".lif", ".lof", ".xlef")),
    _Kind("a Nikon ND2 file", magic=((0, b"\xda\xce\xbe\x0a"), (0, b"\0\0\0\x0cjP  ")), suffixes=(".nd2",)),
    _Kind("an Olympus or Zeiss microscope file", magic=((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),), suffixes=(".oib", ".oif", ".oir", ".zvi", ".ipw")),
    _Kind("an Olympus VSI file", suffixes=(".vsi", ".ets")),
    _Kind("an OME-XML companion file", "Open one of the .ome.tif files that it describes.", suffixes=(".companion.ome", ".ome", ".ome.xml")),
    _Kind("a NumPy file", "Save it as TIFF: tifffile.imwrite('image.tif', array, metadata={'axes': 'ZYX'}).", ((0, b"\x93NUMPY"),), (".npy", ".npz")),
    _Kind("a GIF picture", magic=((0, b"GIF8"),), suffixes=(".gif",)),
    _Kind("a WebP picture", "Save it as PNG or TIFF.", ((8, b"WEBP"),), (".webp",)),
    _Kind("a JPEG 2000 picture", magic=((0, b"\0\0\0\x0cjP"), (0, b"\xff\x4f\xff\x51")), suffixes=(".jp2", ".j2k")),
    _Kind("an AVI film", _FILM, ((8, b"AVI "),), (".avi",)),
    _Kind("a film", _FILM, ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3")), (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg")),
    _Kind("a PDF file", "Take the original image.", ((0, b"%PDF"),), (".pdf",)),
    _Kind("a ZIP archive", "Unpack it first.", ((0, b"PK\x03\x04"),), (".zip",)),
    _Kind("an archive", "Unpack it first.", ((0, b"7z\xbc\xaf'\x1c"), (0, b"\x1f\x8b"), (257, b"ustar")), (".gz", ".7z", ".tar", ".rar", ".xz", ".bz2")),
    _Kind(
        "a file of raw pixels without a header",
        "Import it in Fiji (File > Import > Raw), where its size and type can be given, and save it as TIFF.",
        suffixes=(".raw", ".dat", ".bin"),
    ),
    _Kind("a safetensors file", "This looks like the weights of a model, not an image.", suffixes=(".safetensors",)),
    _Kind("a table or text", "Give an image.", suffixes=(".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".xlsx", ".yaml", ".yml")),
)
_ZARR_MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")
_FOLDERS = (
    ("an OME-Zarr folder", _FIJI, _ZARR_MARKS),
    ("a model folder", "This is a model of napari-segtool: give it where a model is asked for.", ("model.json",)),
    ("a run folder", "This is a training run of napari-segtool: give it where a model is asked for.", ("events.jsonl", "config.json")),
    ("an N5 folder", _FIJI, ("attributes.json",)),
    ("a DICOM folder", "Open it in Fiji (File > Import > Image Sequence) and save it as TIFF.", ("DICOMDIR",)),
)


def readable_kind(path: Path) -> Readable:
    """Return the family of an image file, told from its first bytes whatever it is called.

    Raises
    ------
    FormatError
        If it is missing, empty, may not be read, or of another format, which is named.
    """
    head = _head(path)
    if path.suffix.lower() == ".vsi":  # begins like a TIFF, but holds only a thumbnail
        raise _refused(path, "an Olympus VSI file", _FIJI)
    for family, starts in _READABLE:
        if head.startswith(starts) and not (family == "bmp" and path.suffix.lower() not in (".bmp", "")):
            return family
    name, hint = _named(path, head)
    raise _refused(path, name, hint)


def refuse_folder(folder: Path, names: list[str]) -> None:
    """Raise `FormatError` if a folder is one image or model in another format, not a set of pictures."""
    for name, hint, marks in _FOLDERS:
        if any(mark in names for mark in marks):
            raise _refused(folder, name, hint)
    if folder.suffix.lower() in (".zarr", ".n5"):
        raise _refused(folder, "an OME-Zarr folder" if folder.suffix.lower() == ".zarr" else "an N5 folder", _FIJI)
    # bioformats2raw puts the array one level down, beside its description
    inner = [entry for entry in folder.iterdir() if entry.suffix.lower() == ".zarr" or (entry.is_dir() and (entry / ".zgroup").exists())]
    if inner and not any(Path(name).suffix.lower() in SUFFIXES for name in names):
        raise _refused(folder, "an OME-Zarr folder", _FIJI)


def _refused(path: Path, name: str, hint: str) -> FormatError:
    if not name:
        return FormatError(f"{path} is not an image that can be read: it is neither TIFF, PNG, JPEG nor BMP, and of no format known here.", hint=hint)
    return FormatError(f"{path} is {name}, which cannot be read yet.", hint=hint)


def _named(path: Path, head: bytes) -> tuple[str, str]:
    """Name and hint of a file that is not read."""
    if path.name in _ZARR_MARKS or any(parent.suffix == ".zarr" for parent in path.absolute().parents):
        return "part of an OME-Zarr folder", _FIJI
    if head.startswith(b"\x1f\x8b"):
        head = _unpacked(path) or head
    for kind in _KINDS:
        if any(head[at : at + len(mark)] == mark for at, mark in kind.magic):
            return kind.name, kind.hint
    name = path.name.lower()
    for kind in _KINDS:
        if name.endswith(kind.suffixes) or name.removesuffix(".gz").endswith(kind.suffixes):
            return kind.name, kind.hint
    if path.suffix.lower() in SUFFIXES:
        raise FormatError(
            f"{path} is called {path.suffix} but is no {SUFFIXES[path.suffix.lower()].upper()} file: its first bytes are {head[:4].hex(' ')}.",
            hint="It is damaged, or has been renamed. Copy it again from its source.",
        )
    return "", "Save the image as TIFF, for example from Fiji."


def _unpacked(path: Path) -> bytes:
    """First bytes of what a gzip file holds; empty where it is damaged."""
    try:
        with gzip.open(path) as packed:
            return packed.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise FormatError(f"There is no file {path}.", hint="Check the path.") from None
    except PermissionError:
        raise FormatError(f"{path} may not be read: no permission.", hint="Change its permissions, or copy it to a folder of yours.") from None
    except (OSError, ValueError) as error:  # ValueError: a path no system allows
        raise FormatError(f"{str(path)!r} cannot be read: {error}.", hint="Check the path, the disk and the network connection.") from None
    if not head:
        raise FormatError(f"{path} is empty (0 bytes).", hint="Copy it again from its source.")
    return head
