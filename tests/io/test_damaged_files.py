"""Damaged, cut, empty and foreign files are refused with one clear message; nothing hangs, crashes or asks for absurd memory."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_segtool.core.errors import FormatError, SegtoolError
from napari_segtool.io import tiff
from napari_segtool.io._read import read_stack
from napari_segtool.io.recipe import read_history


@pytest.mark.data
def test_every_awkward_entry_that_is_no_tiff_is_refused_by_the_name_of_its_format(data_folder: Path) -> None:
    names = {
        ".mrc": "MRC", ".map": "MRC", ".nrrd": "NRRD", ".nhdr": "NRRD", ".nii": "NIfTI", ".gz": "NIfTI",
        ".dm3": "DM3", ".dm4": "DM4", ".ome": "OME-XML", ".zarr": "OME-Zarr", ".raw": "raw pixels",
    }  # fmt: skip
    entries = json.loads((data_folder / "awkward_files" / "MANIFEST.json").read_text(encoding="utf-8"))
    refused = 0
    for entry in entries:
        path = data_folder / "awkward_files" / entry["file"]
        if path.suffix in (".tif", ".tiff") or entry["file"].endswith("png_slices"):
            continue
        with pytest.raises(FormatError) as refusal:
            read_stack(path)
        inside_zarr = "omezarr/" in entry["file"] and not path.name.endswith(".xml")
        expected = "OME-Zarr" if inside_zarr else "OME-XML" if path.name.endswith(".xml") else names[path.suffix]
        assert expected in refusal.value.message, entry["file"]
        assert refusal.value.hint, entry["file"]
        refused += 1
    assert refused >= 30
    for folder in ("omezarr/blobs_v04.ome.zarr", "omezarr/bioformats-zarr", "omezarr/bioformats-zarr/data.zarr"):
        with pytest.raises(FormatError, match="OME-Zarr"):
            read_stack(data_folder / "awkward_files" / folder)


def heads() -> dict[str, tuple[bytes, str]]:
    return {
        "a.mrc": (b"\0" * 208 + b"MAP " + b"\0" * 900, "MRC"),
        "a.dat": (b"\x89HDF\r\n\x1a\n" + b"\0" * 90, "HDF5"),
        "a.czi": (b"ZISRAWFILE" + b"\0" * 90, "CZI"),
        "a.nd2": (b"\xda\xce\xbe\x0a" + b"\0" * 90, "ND2"),
        "a.lif": (b"\x70\0\0\0" + b"\0" * 90, "LIF"),
        "scan": (b"\0" * 128 + b"DICM" + b"\0" * 90, "DICOM"),
        "a.mha": (b"ObjectType = Image\nNDims = 3\n", "MetaImage"),
        "a.npy": (b"\x93NUMPY\x01\0" + b"\0" * 90, "NumPy"),
        "a.mp4": (b"\0\0\0\x18ftypmp42" + b"\0" * 90, "film"),
        "a.avi": (b"RIFF\0\0\0\0AVI LIST" + b"\0" * 90, "AVI"),
        "a.zip": (b"PK\x03\x04" + b"\0" * 90, "ZIP"),
        "notes.txt": (b"hello", "text"),
        "a.tif": (b"not a tiff at all", "TIFF"),
        "b.tif": (b"\x93NUMPY\x01\0" + b"\0" * 90, "NumPy"),
        "a.vsi": (b"II*\0" + b"\0" * 90, "VSI"),
        "what": (b"\x01\x02\x03\x04\x05", "no format known"),
    }


@pytest.mark.parametrize("name", heads())
def test_a_foreign_file_is_named_by_its_first_bytes_or_its_ending(tmp_path: Path, name: str) -> None:
    content, expected = heads()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=expected) as refusal:
        read_stack(tmp_path / name)
    assert refusal.value.hint


def test_a_picture_is_known_by_its_content_whatever_it_is_called(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((5, 6), 7, np.uint8))
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    assert read_stack(tmp_path / "a.png").shape == (5, 6)


def test_missing_empty_and_unreadable_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="no file"):
        read_stack(tmp_path / "nothing.tif")
    with pytest.raises(FormatError, match="no file"):
        read_history(tmp_path / "nothing.tif")
    with pytest.raises(FormatError, match="null byte"):
        read_stack("a\0b.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(FormatError, match="empty"):
        read_stack(tmp_path / "empty.tif")
    (tmp_path / "locked.tif").write_bytes(b"II*\0")

    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs containers, may read everything
    with pytest.raises(FormatError, match="no permission"):
        read_stack(tmp_path / "locked.tif")


def one_page(width: int, height: int, bits: int, *, offset: int = 8, count: int = 16, compression: int = 1, next_page: int = 0) -> bytes:
    """A TIFF of one page, tag by tag."""
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (259, 3, compression),
        (262, 3, 1),
        (273, 4, offset),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, count),
    ]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 24) + b"\x07" * 16 + struct.pack("<H", len(tags)) + body + struct.pack("<I", next_page)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (one_page(4_000_000_000, 4_000_000_000, 8, count=4_000_000_000), "cut off|damaged|memory"),
        (one_page(100_000, 100_000, 8, compression=8), "damaged|memory"),
        (one_page(4, 4, 8, offset=5000), "cut off|damaged"),
        (one_page(0, 4, 8), "pixels|damaged|picture"),
        (one_page(4, 4, 8, next_page=24), ""),
        (one_page(4, 4, 8, next_page=999_999), "damaged|cut off"),
        (one_page(4, 4, 8, compression=8), "damaged|cut off"),
        (one_page(4, 4, 8, compression=12345), "compress|damaged|cannot be read"),
        (b"II*\0\0\0\0\0", "picture|damaged"),
        (b"II*\0", "damaged|picture"),
        (b"II+\0\x08\0\0\0" + b"\xff" * 40, "damaged|picture"),
    ],
)
def test_a_malformed_tiff_is_refused_at_once(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    start = time.monotonic()
    if said:
        with pytest.raises(FormatError, match=said) as refusal:
            read_stack(tmp_path / "a.tif")
        assert refusal.value.hint
    else:  # a ring of pages ends somewhere
        with pytest.raises(FormatError):
            read_stack(tmp_path / "a.tif")
    assert time.monotonic() - start < 5


def test_the_smallest_sound_page_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(one_page(4, 4, 8))
    assert np.array_equal(read_stack(tmp_path / "a.tif").data, np.full((4, 4), 7))


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.complex64))
    with pytest.raises(FormatError, match="complex64"):
        read_stack(tmp_path / "a.tif")


def test_what_does_not_fit_into_memory_is_refused_before_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), compression="zlib")
    monkeypatch.setattr(tiff, "available_bytes", lambda: 1000)
    with pytest.raises(FormatError, match="memory"):
        read_stack(tmp_path / "a.tif")


def flavours(folder: Path) -> dict[str, tuple[Path, np.ndarray]]:
    values = np.random.default_rng(5).integers(0, 255, (3, 24, 31)).astype(np.uint8)
    ways = {
        "pages": {},
        "imagej": {"imagej": True},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
        "packed": {"compression": "zlib"},
        "lzw": {"compression": "lzw"},
        "tiles": {"tile": (16, 16), "compression": "zstd"},
        "plain pages": {"metadata": None, "contiguous": False},
    }
    made = {}
    for name, way in ways.items():
        path = folder / f"{name}.tif"
        with tifffile.TiffWriter(path, imagej=way.pop("imagej", False), ome=way.pop("ome", False)) as writer:
            if name == "plain pages":
                for plane in values:
                    writer.write(plane, photometric="minisblack", **way)
            else:
                writer.write(values, photometric="minisblack", **way)
        made[name] = (path, values)
    return made


def test_a_file_cut_anywhere_is_refused_or_still_whole(tmp_path: Path) -> None:
    for name, (path, values) in flavours(tmp_path).items():
        whole = path.read_bytes()
        axes = read_stack(path).axes
        for cut in np.linspace(1, len(whole) - 1, 60).astype(int):
            (tmp_path / "cut.tif").write_bytes(whole[:cut])
            try:
                stack = read_stack(tmp_path / "cut.tif")
            except FormatError:
                continue
            assert (stack.axes, np.array_equal(stack.data, values)) == (axes, True), (name, cut, len(whole))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_wrong_bytes_gives_a_stack_or_one_clear_error(data: st.DataObject, tmp_path: Path) -> None:
    made = flavours(tmp_path) if not (tmp_path / "pages.tif").exists() else {path.stem: (path, None) for path in sorted(tmp_path.glob("*.tif"))}
    made.pop("hurt", None)
    path, _ = made[data.draw(st.sampled_from(sorted(made)))]
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        from_end = data.draw(st.booleans())
        at = data.draw(st.integers(0, min(len(content), 700) - 1))
        content[-1 - at if from_end else at] = data.draw(st.integers(0, 255))
    (tmp_path / "hurt.tif").write_bytes(content)
    try:
        stack = read_stack(tmp_path / "hurt.tif")
    except SegtoolError as error:
        assert error.message  # noqa: PT017 (either outcome is right)
    else:
        assert stack.data.size == int(np.prod(stack.shape)) > 0
