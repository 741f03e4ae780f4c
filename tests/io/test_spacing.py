"""Sizes of pixels are taken from the dialects of TIFF, and print resolution is no size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_segtool.io._spacing import unit_um
from napari_segtool.io.tiff import read_tiff, tiff_facts

STACK = np.zeros((3, 8, 9), np.uint8)


def spacing_of(folder: Path, **way: object) -> tuple[float, ...]:
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack", **way)
    return read_tiff(folder / "a.tif").spacing_um


@pytest.mark.parametrize(
    ("unit", "per_unit", "spacing", "expected_um"),
    [
        ("um", (250, 200), 0.05, (0.05, 0.005, 0.004)),
        ("micron", (250, 250), 0.05, (0.05, 0.004, 0.004)),
        ("\\u00B5m", (250, 250), 0.05, (0.05, 0.004, 0.004)),
        ("nm", (0.25, 0.25), 50, (0.05, 0.004, 0.004)),
        ("mm", (5, 5), 0.5, (500, 200, 200)),
        ("um", (1, 1), 1, (1, 1, 1)),
        ("um", (2, 2), -0.5, (0.5, 0.5, 0.5)),
        ("pixel", (1, 1), 1, ()),
        ("pixel", (250, 250), 0.05, ()),
        ("um", (250, 250), 0, ()),
    ],
)
def test_imagej_counts_samples_in_its_unit(tmp_path: Path, unit: str, per_unit: tuple, spacing: float, expected_um: tuple) -> None:
    found = spacing_of(tmp_path, imagej=True, resolution=per_unit, metadata={"axes": "ZYX", "unit": unit, "spacing": spacing})
    assert found == pytest.approx(expected_um)


def test_a_missing_depth_is_reported_and_not_made_up(tmp_path: Path) -> None:
    assert spacing_of(tmp_path, imagej=True, resolution=(250, 250), metadata={"axes": "ZYX", "unit": "um"}) == ()
    facts = tiff_facts(tmp_path / "a.tif")
    assert facts.calibration.found_um == pytest.approx({"Y": 0.004, "X": 0.004})
    assert facts.calibration.source == "ImageJ"


@pytest.mark.parametrize(
    ("axis", "unit", "expected_um"), [("nm", "nm", 0.05), ("µm", "µm", 50), ("mm", "mm", 50_000), ("Å", "Å", 0.005), ("pixel", "pixel", None)]
)
def test_ome_sizes_have_units(tmp_path: Path, axis: str, unit: str, expected_um: float | None) -> None:
    sizes = {f"PhysicalSize{letter}{word}": value for letter in "XYZ" for word, value in (("", 50), ("Unit", unit))}
    found = spacing_of(tmp_path, ome=True, metadata={"axes": "ZYX", **sizes})
    assert found == (pytest.approx((expected_um,) * 3) if expected_um else ())


def test_the_resolution_tags_of_an_ome_file_do_not_count(tmp_path: Path) -> None:
    assert spacing_of(tmp_path, ome=True, metadata={"axes": "TYX"}, resolution=(10_000, 10_000), resolutionunit="CENTIMETER") == ()


def test_sizes_in_the_description_of_a_python_program_are_read(tmp_path: Path) -> None:
    assert spacing_of(tmp_path, metadata={"axes": "ZYX", "PhysicalSizeX_nm": 4, "PhysicalSizeY_nm": 4, "PhysicalSizeZ_nm": 50}) == pytest.approx(
        (0.05, 0.004, 0.004)
    )
    sizes = {"PhysicalSizeX": 4.0, "PhysicalSizeY": 4.0, "PhysicalSizeZ": 0.05, "PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
    assert spacing_of(tmp_path, metadata={"axes": "ZYX", **sizes}) == pytest.approx((0.05, 0.004, 0.004))
    assert spacing_of(tmp_path, metadata={"axes": "ZYX", "unit": "um", "spacing": 0.05}, resolution=(250, 250)) == pytest.approx((0.05, 0.004, 0.004))


@pytest.mark.parametrize(
    ("per_unit", "unit", "expected_um"),
    [
        (2_500_000, "CENTIMETER", 0.004),
        (50, "CENTIMETER", 200),
        (39_076.92, "INCH", 0.65),
        (72, "INCH", None),
        (96, "INCH", None),
        (300, "INCH", None),
        (72.009, "INCH", None),
        (28.3465, "CENTIMETER", None),
        (28, "CENTIMETER", None),
        (37.795, "CENTIMETER", None),
        (118.11, "CENTIMETER", None),
        (1, "CENTIMETER", None),
        (1, "INCH", None),
        (250, "NONE", None),
    ],
)
def test_a_resolution_for_print_or_screen_is_no_pixel_size(tmp_path: Path, per_unit: float, unit: str, expected_um: float | None) -> None:
    found = spacing_of(tmp_path, metadata={"axes": "TYX"}, resolution=(per_unit, per_unit), resolutionunit=unit)
    assert found == (pytest.approx((expected_um,) * 2, rel=1e-4) if expected_um else ())


def test_oblong_pixels_stay_oblong(tmp_path: Path) -> None:
    assert spacing_of(tmp_path, metadata={"axes": "QYX"}, resolution=(10_000, 5_000), resolutionunit="CENTIMETER") == pytest.approx((2.0, 1.0))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sizes=st.tuples(*[st.floats(1e-4, 1e4)] * 3))
def test_sizes_written_by_tifffile_come_back(tmp_path: Path, sizes: tuple[float, float, float]) -> None:
    z, y, x = sizes
    assert spacing_of(tmp_path, imagej=True, resolution=(1 / x, 1 / y), metadata={"axes": "ZYX", "unit": "um", "spacing": z}) == pytest.approx(sizes, rel=1e-6)


def test_words_that_are_no_length_have_none() -> None:
    assert [unit_um(word) for word in ("pixel", "px", "", "sec", None, 3, "reference frame")] == [0.0] * 7
