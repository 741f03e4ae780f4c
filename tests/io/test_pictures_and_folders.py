"""Single pictures, and folders of numbered pictures as stacks."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_segtool.core.errors import FormatError
from napari_segtool.io import _pictures
from napari_segtool.io._pictures import natural_key
from napari_segtool.io._read import read_stack


def save(path: Path, plane: np.ndarray) -> None:
    encode = {".png": imagecodecs.png_encode, ".bmp": imagecodecs.bmp_encode, ".jpg": imagecodecs.jpeg8_encode, ".jpeg": imagecodecs.jpeg8_encode}
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, plane)
    else:
        path.write_bytes(encode[path.suffix](np.ascontiguousarray(plane)))


@pytest.mark.data
def test_a_folder_of_slices_8_to_11_is_the_stack_in_counting_order(data_folder: Path) -> None:
    stack = read_stack(data_folder / "awkward_files" / "derived" / "png_slices", spacing_um=(0.05, 0.004, 0.004))
    image = read_stack(data_folder / "isbi2012_em" / "image.tif")
    assert (stack.axes, stack.name, stack.spacing_um) == ("ZYX", "png_slices", (0.05, 0.004, 0.004))
    assert np.array_equal(stack.data, image.data[:4, 100:292, 60:252])


@given(st.lists(st.integers(0, 10**30), min_size=1, max_size=30))
def test_numbers_in_names_are_sorted_as_numbers(numbers: list[int]) -> None:
    names = sorted((f"slice_{number}.png" for number in numbers), key=natural_key)
    assert [int(name[6:-4]) for name in names] == sorted(numbers)


@pytest.mark.parametrize(("suffix", "exact"), [(".png", True), (".tif", True), (".tiff", True), (".bmp", True), (".jpg", False), (".jpeg", False)])
def test_each_kind_of_picture_makes_a_stack_of_pictures(tmp_path: Path, suffix: str, exact: bool) -> None:
    planes = np.repeat(np.arange(30, dtype=np.uint8)[:, None] * 8, 40, axis=1)[None] + np.arange(12, dtype=np.uint8)[:, None, None]
    for z, plane in enumerate(planes):
        save(tmp_path / f"z{z}{suffix}", plane)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    stack = read_stack(tmp_path)
    assert (stack.axes, stack.shape, stack.spacing_um) == ("ZYX", (12, 30, 40), ())
    assert np.abs(stack.data.astype(int) - planes).max() <= (0 if exact else 6)


def test_colour_pictures_keep_their_samples(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (2, 9, 8, 3)).astype(np.uint8)
    for z in range(2):
        save(tmp_path / f"{z}.png", colours[z])
    assert read_stack(tmp_path).axes == "ZYXS"
    assert np.array_equal(read_stack(tmp_path).data, colours)
    assert read_stack(tmp_path / "0.png").axes == "YXS"
    assert read_stack(tmp_path, axes="TYXS").axes == "TYXS"


def test_sixteen_bits_of_a_png_are_kept(tmp_path: Path) -> None:
    plane = np.array([[0, 1, 256], [4000, 65534, 65535]], np.uint16)
    save(tmp_path / "a.png", plane)
    stack = read_stack(tmp_path / "a.png")
    assert (stack.axes, stack.data.dtype, stack.name) == ("YX", np.uint16, "a")
    assert np.array_equal(stack.data, plane)


@pytest.mark.parametrize("odd", [np.zeros((9, 8), np.uint8), np.zeros((8, 9), np.uint16), np.zeros((8, 9, 3), np.uint8)])
def test_the_one_picture_of_another_size_or_type_is_named(tmp_path: Path, odd: np.ndarray) -> None:
    for z in range(5):
        save(tmp_path / f"z{z}.png", odd if z == 0 else np.zeros((8, 9), np.uint8))
    with pytest.raises(FormatError, match=r"z0\.png") as refusal:
        read_stack(tmp_path)
    assert "4 other" in refusal.value.message
    assert refusal.value.hint


def test_folders_that_are_no_stack_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no pictures"):
        read_stack(tmp_path)
    save(tmp_path / "1.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "1.tif", np.zeros((4, 4), np.uint8))
    with pytest.raises(FormatError, match="mixes"):
        read_stack(tmp_path)
    (tmp_path / "1.png").unlink()
    tifffile.imwrite(tmp_path / "2.tif", np.zeros((3, 4, 4), np.uint8), photometric="minisblack")
    with pytest.raises(FormatError, match=r"2\.tif is itself a stack"):
        read_stack(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(FormatError, match="model folder"):
        read_stack(tmp_path)


def test_a_damaged_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    for z in range(3):
        save(tmp_path / f"z{z}.png", np.random.default_rng(z).integers(0, 255, (30, 40)).astype(np.uint8))
    (tmp_path / "z1.png").write_bytes((tmp_path / "z1.png").read_bytes()[:300])
    with pytest.raises(FormatError, match=r"z1\.png is damaged"):
        read_stack(tmp_path)


def test_a_png_that_declares_absurd_sizes_is_refused(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))
    with pytest.raises(FormatError, match="declares"):
        read_stack(tmp_path / "a.png")


def test_a_folder_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for z in range(3):
        save(tmp_path / f"z{z}.tif", np.zeros((30, 40), np.uint8))
    monkeypatch.setattr(_pictures, "available_bytes", lambda: 3000)
    with pytest.raises(FormatError, match="memory"):
        read_stack(tmp_path)
