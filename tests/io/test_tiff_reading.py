"""Every flavour of TIFF is read with the axes, shape, dtype, values and spacing that the file holds."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_segtool.core.errors import AxesError, FormatError
from napari_segtool.io import tiff
from napari_segtool.io._read import read_stack
from napari_segtool.io.tiff import read_tiff, tiff_facts

pytestmark = pytest.mark.filterwarnings("error")


def manifest(folder: Path) -> list[dict]:
    return json.loads((folder / "awkward_files" / "MANIFEST.json").read_text(encoding="utf-8"))


@pytest.mark.data
def test_every_awkward_tiff_reads_as_the_reference_reader_says_or_is_refused(data_folder: Path) -> None:
    seen = 0
    for entry in manifest(data_folder):
        path = data_folder / "awkward_files" / entry["file"]
        if path.suffix not in (".tif", ".tiff"):
            continue
        seen += 1
        expected = entry["expect"]
        if "error" in expected or 0 in expected["shape"]:
            with pytest.raises(FormatError) as refusal:
                read_stack(path)
            assert refusal.value.hint, path
            continue
        stack = read_stack(path)
        assert (stack.axes, list(stack.shape), str(stack.data.dtype)) == (expected["axes"], expected["shape"], expected["dtype"]), path
        assert stack.data.dtype.isnative, path
        values = stack.data.astype(np.float64)
        if expected["mean"] is None:
            assert not np.isfinite(values).all(), path
        else:
            assert (values.min(), values.max()) == pytest.approx((expected["min"], expected["max"]), abs=1e-9), path
            assert values.mean() == pytest.approx(expected["mean"], abs=1e-4), path
    assert seen >= 50


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "spacing_um"),
    [
        ("isbi2012_em/image.tif", (0.05, 0.004, 0.004)),
        ("vnc_drosophila_sstem/image.tif", (0.0475, 0.0046, 0.0046)),
        ("ctc_timelapse/image_cho_TZYX.tif", (1.0, 0.202, 0.202)),
        ("usgra_nerve_vessel_us/image.tif", ()),
        ("awkward_files/derived/em_z.ome.tif", (0.05, 0.004, 0.004)),
        ("awkward_files/derived/em_imagej_stack_um.tif", (0.05, 0.004, 0.004)),
        ("awkward_files/derived/vnc_pyramid.ome.tif", (0.0046, 0.0046)),
        ("awkward_files/em_vendor/FEI-Helios-Ebeam-8bits.tif", (3.3724, 3.3724)),
        ("awkward_files/em_vendor/Zeiss_SEM_512pix.tif", (0.005825, 0.005825)),
        ("awkward_files/em_vendor/DigitalMicrograph_stack_f32.tif", (1.68674, 0.168674)),
        ("awkward_files/em_vendor/olympus_SIS.tif", ()),
        ("awkward_files/tiff/planar-rgb-u8.tif", ()),
        ("awkward_files/ome/multifile/multifile-Z1.ome.tiff", ()),
    ],
)
def test_real_files_give_the_pixel_size_of_their_makers(data_folder: Path, name: str, spacing_um: tuple[float, ...]) -> None:
    assert read_stack(data_folder / name).spacing_um == pytest.approx(spacing_um, rel=1e-4)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32", "float64"])
def test_either_byte_order_comes_out_in_the_order_of_this_machine(tmp_path: Path, byteorder: str, dtype: str) -> None:
    values = np.arange(60).reshape(3, 4, 5).astype(dtype) * 3
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=byteorder, photometric="minisblack", metadata={"axes": "ZYX"})
    stack = read_tiff(tmp_path / "a.tif")
    assert stack.data.dtype == np.dtype(dtype)
    assert stack.data.dtype.isnative
    assert np.array_equal(stack.data, values)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressed_and_tiled_pixels_are_those_stored(tmp_path: Path, compression: str, tile: tuple[int, int] | None) -> None:
    values = np.random.default_rng(1).integers(0, 60000, (2, 33, 47)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, compression=compression, tile=tile, photometric="minisblack", bigtiff=True)
    assert np.array_equal(read_tiff(tmp_path / "a.tif").data, values)


def test_a_pyramid_gives_its_finest_level_only(tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 255, (64, 96)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(values, subifds=2, photometric="minisblack", tile=(16, 16))
        writer.write(values[::2, ::2], subfiletype=1, photometric="minisblack", tile=(16, 16))
        writer.write(values[::4, ::4], subfiletype=1, photometric="minisblack", tile=(16, 16))
    stack = read_tiff(tmp_path / "a.ome.tif")
    assert (stack.axes, stack.name) == ("YX", "a")
    assert np.array_equal(stack.data, values)
    assert tiff_facts(tmp_path / "a.ome.tif").levels == 3


def test_of_several_images_the_first_is_read_and_all_are_reported(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.ones((8, 9), np.uint8), photometric="minisblack")
        writer.write(np.ones((30, 40), np.uint8), photometric="minisblack")
    assert read_tiff(tmp_path / "a.tif").shape == (8, 9)
    assert tiff_facts(tmp_path / "a.tif").series == ((8, 9), (30, 40))


def test_a_set_of_files_described_by_one_ome_xml_is_one_stack(tmp_path: Path) -> None:
    planes = np.random.default_rng(3).integers(0, 255, (3, 6, 7)).astype(np.uint8)
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{z}" for z in range(3)]
    blocks = "".join(
        f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="0" PlaneCount="1"><UUID FileName="z{z}.ome.tif">{ids[z]}</UUID></TiffData>' for z in range(3)
    )
    for z, plane in enumerate(planes):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[z]}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="7" SizeY="6" SizeZ="3" SizeC="1" SizeT="1" '
            'PhysicalSizeX="5" PhysicalSizeXUnit="nm" PhysicalSizeY="5" PhysicalSizeYUnit="nm" PhysicalSizeZ="0.05" PhysicalSizeZUnit="µm">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", plane, description=xml.encode(), metadata=None, photometric="minisblack")
    stack = read_tiff(tmp_path / "z1.ome.tif")
    assert (stack.axes, stack.spacing_um) == ("ZYX", pytest.approx((0.05, 0.005, 0.005)))
    assert np.array_equal(stack.data, planes)

    (tmp_path / "z2.ome.tif").unlink()
    with pytest.raises(FormatError, match=r"z2\.ome\.tif is missing"):
        read_tiff(tmp_path / "z1.ome.tif")


def test_two_unnamed_axes_become_pages_and_three_must_be_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "four.tif", np.zeros((2, 3, 8, 9), np.uint8), photometric="minisblack")
    assert read_tiff(tmp_path / "four.tif").axes == "QIYX"
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((2, 3, 4, 8, 9), np.uint8), photometric="minisblack")
    with pytest.raises(AxesError, match="more than two") as refusal:
        read_tiff(tmp_path / "five.tif")
    assert "--axes" in refusal.value.hint
    assert read_stack(tmp_path / "five.tif", axes="tzcyx").axes == "TZCYX"


def test_the_axes_and_spacing_of_the_user_take_the_place_of_the_files(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 9), np.uint8), photometric="minisblack")
    assert read_stack(tmp_path / "a.tif").axes == "QYX"
    pages = read_stack(tmp_path / "a.tif", spacing_um=(0.05, 0.004, 0.004))
    assert (pages.axes, pages.spacing_um) == ("ZYX", (0.05, 0.004, 0.004))
    assert read_stack(tmp_path / "a.tif", axes="TYX", spacing_um=(2, 3)).spacing_um == (2.0, 3.0)
    with pytest.raises(AxesError, match="3 dimensions"):
        read_stack(tmp_path / "a.tif", axes="YX")


def test_large_plain_files_stay_on_disk_and_small_or_swapped_ones_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "MAPPED_FROM_BYTES", 1000)
    values = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
    tifffile.imwrite(tmp_path / "plain.tif", values, photometric="minisblack", byteorder="<")
    tifffile.imwrite(tmp_path / "swapped.tif", values, photometric="minisblack", byteorder=">")
    tifffile.imwrite(tmp_path / "packed.tif", values, photometric="minisblack", compression="zlib")
    mapped = read_tiff(tmp_path / "plain.tif").data
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    for name in ("plain.tif", "swapped.tif", "packed.tif"):
        data = read_tiff(tmp_path / name).data
        assert np.array_equal(data, values), name
        assert isinstance(data, np.memmap) == (name == "plain.tif"), name


def test_what_tifffile_would_print_stays_off_the_console(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 64, 64), np.uint8), photometric="minisblack")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) * 6 // 10])
    with caplog.at_level(logging.DEBUG, "tifffile"), pytest.raises(FormatError):
        read_tiff(tmp_path / "cut.tif")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not tifffile.logger().filters
