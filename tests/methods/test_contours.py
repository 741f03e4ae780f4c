"""Contours that move: Chan–Vese, geodesic active contours, snakes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.segmentation import active_contour, inverse_gaussian_gradient, morphological_chan_vese, morphological_geodesic_active_contour, morphsnakes

from napari_segtool.api import segment, segment_steps
from napari_segtool.core.errors import AxesError, DataError, ParameterError
from napari_segtool.core.planes import evolved_plane
from napari_segtool.core.progress import Evolution, drain
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import checkerboard, inset_box
from napari_segtool.methods._evolve import evolve_steps
from napari_segtool.methods.chan_vese import ChanVeseParams, evolved_steps
from napari_segtool.methods.geodesic_contour import EdgeForce
from napari_segtool.methods.snake import SnakeParams, _positions, outlines_of
from tests.objects.patches import result_of


@pytest.fixture(autouse=True)
def _turns(monkeypatch):
    """Let scikit-image begin anew in each test: it takes turns between its smoothing operators across calls."""
    monkeypatch.setattr(morphsnakes, "_curvop", None)
    begin_anew()


def begin_anew() -> None:
    turns = [lambda u: morphsnakes.sup_inf(morphsnakes.inf_sup(u)), lambda u: morphsnakes.inf_sup(morphsnakes.sup_inf(u))]
    morphsnakes._curvop = morphsnakes._fcycle(turns)


def clouds(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return (smooth - smooth.min()) / np.ptp(smooth)


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


# -------------------------------------------------------------- Chan–Vese


@pytest.mark.parametrize(("steps", "smoothing", "inside", "outside"), [(20, 1, 1, 1), (21, 1, 1, 1), (8, 3, 1, 2), (9, 0, 2, 1)])
def test_chan_vese_is_that_of_scikit_image_to_the_pixel(steps, smoothing, inside, outside):
    picture = clouds((50, 60))
    for start in (checkerboard(picture.shape), inset_box(picture.shape, 0.3)):
        params = ChanVeseParams(iterations=steps, smoothing=smoothing, inside_weight=inside, outside_weight=outside)
        found = result_of(evolved_steps(picture, start, params))
        begin_anew()
        assert np.array_equal(found, morphological_chan_vese(picture, steps, start, smoothing, inside, outside))


def test_chan_vese_of_a_volume_is_that_of_scikit_image_to_the_voxel():
    volume = clouds((9, 24, 26))
    found = result_of(evolved_steps(volume, checkerboard(volume.shape), ChanVeseParams(iterations=6)))
    assert np.array_equal(found, morphological_chan_vese(volume, 6, checkerboard(volume.shape), 1))


def test_stopping_early_changes_nothing():
    picture = np.where(disc((40, 40), 20, 20, 9), 200, 30).astype(np.uint8)
    start = inset_box(picture.shape, 0.2)
    for steps in (60, 61):
        begin_anew()
        found = result_of(evolved_steps(picture, start, ChanVeseParams(iterations=steps)))
        assert np.array_equal(found, morphological_chan_vese(picture.astype(float), steps, start, 1))


def test_objects_are_bright_or_dark_as_asked():
    truth = disc((50, 60), 25, 30, 12)
    stack = Stack(np.where(truth, 180, 60).astype(np.uint8), "YX")
    for start in ("checkerboard", "box"):
        bright, dark = (segment(stack, "chan-vese", objects=which, start=start).labels.data for which in ("bright", "dark"))
        assert dice(bright == 1, truth) > 0.97
        assert dice(dark == 1, ~truth) > 0.97


def test_regions_keep_their_numbers_and_their_distance():
    first, second = disc((60, 90), 30, 25, 15), disc((60, 90), 30, 62, 15)
    picture = np.full((60, 90), 20.0)
    picture[first], picture[second] = 120, 220
    start = np.zeros((60, 90), np.uint8)
    start[28:33, 22:28], start[28:33, 60:66] = 7, 3
    found = segment(Stack(picture.astype(np.float32), "YX"), "chan-vese", labels=start, smoothing_px=0).labels.data
    assert sorted(np.unique(found)) == [0, 3, 7]
    assert dice(found == 7, first) > 0.95
    assert dice(found == 3, second) > 0.95


def test_no_contour_enters_pixels_without_a_value_or_passes_them():
    picture = np.full((30, 60), 10, np.float32)
    picture[8:22, 5:55] = 100
    picture[:, 28:31] = np.nan
    start = np.zeros((30, 60), np.uint8)
    start[12:18, 8:14] = 1
    for method in ("chan-vese", "geodesic-contour"):
        found = segment(Stack(picture, "YX"), method, labels=start).labels.data
        assert found[15, 26] == 1
        assert not found[:, 28:].any()


def test_a_surface_evolves_through_the_slices():
    z, y, x = np.ogrid[:20, :36, :36]
    truth = ((z - 10) / 7) ** 2 + ((y - 18) / 11) ** 2 + ((x - 18) / 11) ** 2 <= 1
    stack = Stack(np.where(truth, 150, 50).astype(np.uint8), "ZYX", (2.5, 1.0, 1.0))
    start = np.zeros(truth.shape, np.uint8)
    start[9:12, 15:22, 15:22] = 2
    for method in ("chan-vese", "geodesic-contour"):
        found = segment(stack, method, labels=start, volume=True).labels.data
        assert dice(found == 2, truth) > 0.94, method
    assert not segment(stack, "chan-vese", labels=start).labels.data[[6, 14]].any()
    with pytest.raises(AxesError):
        segment(Stack(np.zeros((8, 8), np.uint8), "YX"), "chan-vese", volume=True)


# ---------------------------------------------------------------- geodesic


@pytest.mark.parametrize(("growth", "smoothing", "steps"), [(-1, 1, 40), (1, 2, 25), (0, 1, 15)])
@pytest.mark.parametrize("shape", [(60, 64), (8, 22, 24)])
def test_geodesic_contours_are_those_of_scikit_image_to_the_pixel(shape, growth, smoothing, steps):
    ease = inverse_gaussian_gradient(clouds(shape, 1), alpha=1000, sigma=1)
    start = np.zeros(shape, np.uint8)
    if growth > 0:
        start[tuple(slice(n // 4, n - n // 4) for n in shape)] = 1
    else:
        start[tuple(slice(1, -1) for _ in shape)] = 1
    steps = steps if len(shape) == 2 else 5
    found = result_of(evolve_steps(start, None, EdgeForce(ease, growth, 0.6), iterations=steps, smoothing=smoothing))
    begin_anew()
    expected = morphological_geodesic_active_contour(ease, steps, start, smoothing, threshold=0.6, balloon=growth)
    assert expected.any()
    assert np.array_equal(found, expected)


def test_a_geodesic_contour_grows_into_a_ring_with_a_gap_and_stays_inside():
    ring = disc((80, 80), 40, 40, 26) & ~disc((80, 80), 40, 40, 23)
    ring[38:42, 60:] = False  # a gap of four pixels
    stack = Stack(np.where(ring, 220, 40).astype(np.uint8), "YX")
    start = disc((80, 80), 40, 36, 8).astype(np.uint8)
    found = segment(stack, "geodesic-contour", labels=start, smoothing=3).labels.data
    assert dice(found == 1, disc((80, 80), 40, 40, 23)) > 0.9
    leaked = segment(stack, "region-growing", seeds="40,36:1", tolerance=20, smoothing_px=0).labels.data
    assert leaked[2, 2] == 1


def test_without_labels_a_frame_shrinks_onto_the_objects():
    truth = disc((60, 70), 30, 20, 11) | disc((60, 70), 28, 50, 12)
    stack = Stack(np.where(truth, 40, 190).astype(np.uint8), "YX")
    assert dice(segment(stack, "geodesic-contour").labels.data == 1, truth) > 0.93


def test_two_growing_regions_stop_where_they_meet():
    picture = np.full((40, 60), 100, np.uint8)
    picture[:2], picture[-2:], picture[:, :2], picture[:, -2:] = 0, 0, 0, 0
    start = np.zeros((40, 60), np.uint8)
    start[15:25, 10:16], start[15:25, 44:50] = 1, 2
    found = segment(Stack(picture, "YX"), "geodesic-contour", labels=start).labels.data
    assert (found[10:30, 5:28] == 1).all()
    assert (found[10:30, 32:55] == 2).all()


# ------------------------------------------------------------------ snakes


def test_a_snake_moves_as_scikit_images_does():
    edge = np.hypot(*np.gradient(gaussian_filter(disc((90, 90), 45, 45, 25).astype(float), 3)))
    edge /= edge.max()
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    start = np.stack([45 + 29 * np.sin(turn), 46 + 30 * np.cos(turn)], axis=1)
    expected = active_contour(edge, start, alpha=0.01, beta=0.1, w_line=1, w_edge=0, gamma=0.01, max_num_iter=60, convergence=0)
    pulls = [np.gradient(np.pad(edge, 1, mode="edge"), axis=axis) for axis in range(2)]
    *_, (_, found) = _positions(start, pulls, SnakeParams(iterations=60))
    radii, expected_radii = (np.hypot(*(points - 45).T) for points in (found, expected))
    assert np.abs(np.hypot(*(start - 45).T) - 25).max() > 4
    assert np.median(np.abs(radii - expected_radii)) < 0.1  # linear interpolation here, quadratic there: single points quiver
    assert np.abs(radii - expected_radii).max() < 1.2


def test_a_snake_finds_the_outline_near_a_drawn_shape():
    truth = disc((100, 100), 48, 52, 28)
    noisy = np.where(truth, 160, 80) + np.random.default_rng(0).normal(0, 15, truth.shape)
    drawn = np.zeros(truth.shape, np.uint8)
    drawn[26:72, 30:76] = 5
    found = segment(Stack(noisy.astype(np.float32), "YX"), "snake", labels=drawn).labels.data
    assert dice(drawn == 5, truth) < 0.9
    assert dice(found == 5, truth) > 0.96


def test_every_region_of_a_label_has_an_outline_of_its_own_and_no_holes():
    drawn = np.zeros((40, 60), np.uint8)
    drawn[5:20, 5:20], drawn[5:20, 30:50], drawn[25:35, 10:30] = 4, 4, 2
    drawn[10:13, 10:13] = 0
    found = outlines_of(drawn)
    assert [outline.label for outline in found] == [2, 4, 4]
    assert np.allclose(found[1].points.min(axis=0), 4.5, atol=0.1)
    assert np.allclose(found[1].points.max(axis=0), 19.5, atol=0.1)


def test_stiff_snakes_are_rounder():
    y, x = np.ogrid[:100, :100]
    star = np.hypot(y - 50, x - 50) <= 28 + 5 * np.cos(8 * np.arctan2(y - 50.0, x - 50.0))
    stack = Stack(np.where(star, 180, 40).astype(np.uint8), "YX")
    drawn = disc((100, 100), 50, 50, 29).astype(np.uint8)
    loose, stiff = (segment(stack, "snake", labels=drawn, stiffness=value, smoothing_px=2).labels.data == 1 for value in (0.01, 100))
    assert dice(loose, star) > dice(stiff, star)


def test_a_snake_needs_a_drawn_shape_and_a_picture_with_edges():
    flat = Stack(np.full((20, 20), 7, np.float32), "YX")
    with pytest.raises(ParameterError, match="needs labels"):
        segment(flat, "snake")
    with pytest.raises(DataError, match="grey value"):
        segment(flat, "snake", labels=np.ones((20, 20), np.uint8))


# --------------------------------------------------------------- evolution


@pytest.mark.parametrize("method", ["chan-vese", "geodesic-contour", "snake"])
def test_the_evolution_can_be_watched(method):
    truth = disc((70, 80), 35, 40, 24)
    picture = np.where(truth, 170, 60).astype(np.uint8)
    stack = Stack(np.stack([picture, picture]), "ZYX")
    start = np.zeros(stack.shape, np.uint8)
    start[:, 20:52, 24:58] = 1
    before, seen = start.copy(), []
    drain(segment_steps(stack, method, labels=start), lambda part: seen.append(part) if isinstance(part, Evolution) else None)
    assert {part.piece for part in seen} == {0, 1}
    for part in seen:
        plane = evolved_plane(part, stack, (part.piece,))
        assert plane.shape == (70, 80)
        assert set(np.unique(plane)) == {0, 1}
    assert np.array_equal(start, before)


def test_the_evolution_of_a_volume_can_be_watched():
    stack = Stack((clouds((6, 30, 30)) * 255).astype(np.uint8), "ZYX")
    seen = []
    drain(segment_steps(stack, "chan-vese", volume=True), lambda part: seen.append(part) if isinstance(part, Evolution) else None)
    assert seen
    assert seen[0].labels.shape == (6, 30, 30)
    assert evolved_plane(seen[0], stack, (4,)).shape == (30, 30)
