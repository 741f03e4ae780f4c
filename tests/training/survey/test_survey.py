"""What the data say about how to train, on pictures whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_segtool.core.stack import Stack
from napari_segtool.training.learners.unet import plan_unet
from napari_segtool.training.runs._run import Run
from napari_segtool.training.survey._evidence import evidence_of_run
from napari_segtool.training.survey._survey import survey
from tests.training.blobs import tiny_run


def object_radius_px(run: Run) -> float:
    return survey(evidence_of_run(run)).radius_px


def has_up_and_down(run: Run) -> bool:
    return survey(evidence_of_run(run)).upright


def discs(radius: int, planes: int = 4, side: int = 120) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:side, :side]
    mask = (np.hypot(y - side / 2, x - side / 2) <= radius).astype(np.uint8)[None].repeat(planes, 0)
    noise = np.random.default_rng(0).normal(100, 20, mask.shape)
    return (noise + 60 * mask).clip(0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("radius", [3, 8, 20])
def test_the_radius_of_discs_is_found(tmp_path: Path, radius: int) -> None:
    image, mask = discs(radius)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), mask)])
    assert object_radius_px(run) == pytest.approx(radius, abs=1.5)


def test_thin_walls_between_large_cells_are_what_counts(tmp_path: Path) -> None:
    y, x = np.mgrid[:120, :120]
    walls = ((y % 40 < 4) | (x % 40 < 4)).astype(np.uint8)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(discs(9, 1)[0][0], "YX"), 255 - 255 * walls)])
    assert object_radius_px(run) == pytest.approx(3, abs=1.2)  # three quarters of four
    assert plan_unet(run).network_params["reduction"] == 1


def test_large_objects_are_learned_at_lower_resolution_and_with_more_around_them(tmp_path: Path) -> None:
    image, mask = discs(24)
    plan = plan_unet(tiny_run(tmp_path / "auto", pairs=[(Stack(image, "ZYX"), mask)]))
    assert plan.network_params["reduction"] == 2
    assert plan.patch_px == (1, 64, 64)
    larger, whole = discs(46, side=220)
    assert plan_unet(tiny_run(tmp_path / "larger", pairs=[(Stack(larger, "ZYX"), whole)])).network_params["reduction"] == 4
    full = plan_unet(tiny_run(tmp_path / "full", pairs=[(Stack(image, "ZYX"), mask)], resolution="full"))
    assert (full.network_params["reduction"], full.patch_px) == (1, (1, 32, 32))


def test_strokes_say_nothing_about_size(tmp_path: Path) -> None:
    image, mask = discs(24)
    paint = np.zeros_like(mask)
    paint[0, 10:14, 10:100], paint[0, 50:54, 50:70] = 1, 2
    assert object_radius_px(tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), paint)], labels_are="paint")) == 0


def test_images_that_darken_with_depth_have_an_up_and_noise_has_none(tmp_path: Path) -> None:
    image, mask = discs(15, planes=6)
    fading = (image * np.linspace(1.2, 0.2, 120)[None, :, None]).clip(0, 255).astype(np.uint8)
    assert not has_up_and_down(tiny_run(tmp_path / "noise", pairs=[(Stack(image, "IYX"), mask)]))
    run = tiny_run(tmp_path / "fading", pairs=[(Stack(fading, "IYX"), mask)])
    assert has_up_and_down(run)
    assert not plan_unet(run).augmentation.flip_y
    turned = fading.copy()
    turned[::2] = turned[::2, ::-1]
    assert not has_up_and_down(tiny_run(tmp_path / "turned", pairs=[(Stack(turned, "IYX"), mask)]))


def test_two_pictures_are_too_few_to_tell_up_from_down(tmp_path: Path) -> None:
    image, mask = discs(15, planes=2)
    fading = (image * np.linspace(1.2, 0.2, 120)[None, :, None]).astype(np.uint8)
    assert not has_up_and_down(tiny_run(tmp_path / "run", pairs=[(Stack(fading, "ZYX"), mask)]))


@pytest.mark.data
@pytest.mark.parametrize(("folder", "axes", "upright", "reduction"), [("isbi2012_em", "ZYX", False, 1), ("usgra_nerve_vessel_us", "IYX", True, 2)])
def test_real_microscopy_has_no_up_and_real_ultrasound_has(tmp_path: Path, data_folder: Path, folder: str, axes: str, upright: bool, reduction: int) -> None:
    import tifffile

    image, labels = (tifffile.imread(data_folder / folder / name) for name in ("image.tif", "labels.tif"))
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, axes), labels)], depth=4, patch_px=256)
    assert has_up_and_down(run) == upright
    assert plan_unet(run).network_params["reduction"] == reduction
