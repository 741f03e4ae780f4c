"""Planes on the model's grid and probabilities back, against torch's interpolation of whole pictures and against geometry."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_segtool.core.stack import Stack
from napari_segtool.nets._pixel_size import SAME, image_pixel_um, learned_pixel_um, resampling_text, told_of, zoom_between
from napari_segtool.nets._resample import Grid
from napari_segtool.nets._soften import softened

SIZE = (57, 74)
ZOOMS = [(0.5, 0.5), (2.0, 2.0), (0.4, 0.7), (1.3, 3.1), (1.6, 0.6)]


def picture(channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, *SIZE)).astype(np.float32)


def whole(shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])


def parts_of(shape: tuple[int, int], sides: tuple[int, int]) -> list[tuple[slice, slice]]:
    edges = [[slice(start, min(start + side, n)) for start in range(0, n, side)] for n, side in zip(shape, sides, strict=True)]
    return [(rows, columns) for rows in edges[0] for columns in edges[1]]


@pytest.mark.parametrize("zoom", [(0.5, 0.5), (0.4, 0.7), (0.8, 0.25)])
def test_a_plane_of_larger_pixels_is_interpolated_as_torch_does_it(zoom):
    grid, plane = Grid(SIZE, zoom), picture()
    expected = F.interpolate(torch.from_numpy(plane)[None], grid.shape, mode="bicubic")[0].numpy()
    inner = (slice(None), *(slice(2 * n // size + 3, -2 * n // size - 3) for n, size in zip(grid.shape, SIZE, strict=True)))  # torch repeats the border
    np.testing.assert_allclose(grid.read(plane, *whole(grid.shape))[inner], expected[inner], atol=2e-5)


def test_a_plane_of_smaller_pixels_looks_as_if_it_had_been_recorded_with_larger_ones():
    """Sums of a smooth picture's pixels over 3 × 3 squares are what a detector of such pixels gives."""
    y, x = np.mgrid[:90, :120]
    fine = (np.sin(y / 9) * np.cos(x / 7)).astype(np.float32)
    binned = fine.reshape(30, 3, 40, 3).mean((1, 3))
    read = Grid(fine.shape, (3.0, 3.0)).read(fine[None], slice(0, 30), slice(0, 40))[0]
    np.testing.assert_allclose(read[2:-2, 2:-2], binned[2:-2, 2:-2], atol=0.005)


def test_noise_of_smaller_pixels_is_averaged_away():
    noise = np.random.default_rng(0).normal(size=(1, 400, 400)).astype(np.float32)
    read = Grid((400, 400), (4.0, 4.0)).read(noise, slice(0, 100), slice(0, 100))
    assert 0.15 < read.std() < 0.4  # 0.25 where pixels are added up, 1 where one in sixteen is taken


@pytest.mark.parametrize("zoom", ZOOMS)
def test_brightness_and_places_stay(zoom):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    planes = np.stack([np.full(SIZE, 7, np.float32), y, x])
    grid = Grid(SIZE, zoom)
    flat, rows, columns = grid.read(planes, *whole(grid.shape))
    np.testing.assert_allclose(flat, 7, rtol=1e-5)
    for found, axis in ((rows[:, 0], 0), (columns[0], 1)):
        n, step = grid.shape[axis], SIZE[axis] / grid.shape[axis]
        expected = (np.arange(n) + 0.5) * step - 0.5  # pixel k of n covers k/n to (k + 1)/n of the picture
        far = int(6 / step) + 6
        np.testing.assert_allclose(found[far:-far], expected[far:-far], atol=0.06)  # cubic convolution with a = -0.75 bends a slope by so much


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("sides", [(8, 8), (1, 5), (64, 3)])
def test_what_is_read_does_not_depend_on_the_parts_it_is_read_in(zoom, sides, monkeypatch):
    grid, plane = Grid(SIZE, zoom), picture()
    expected = grid.read(plane, *whole(grid.shape))
    monkeypatch.setattr("napari_segtool.nets._resample._STRIP_PX", 300)
    for rows, columns in parts_of(grid.shape, sides):
        np.testing.assert_allclose(grid.read(plane, rows, columns), expected[:, rows, columns], atol=1e-5)


@pytest.mark.parametrize("zoom", ZOOMS)
def test_probabilities_come_back_as_torch_interpolates_them(zoom):
    grid = Grid(SIZE, zoom)
    chances = torch.rand(3, *grid.shape, generator=torch.Generator().manual_seed(0))
    place, back = grid.back(whole(grid.shape), whole(grid.shape), chances)
    expected = F.interpolate(chances[None], SIZE, mode="bilinear", antialias=True)[0]
    assert place == whole(SIZE)
    np.testing.assert_allclose(back.numpy(), expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("zoom", [SAME, *ZOOMS])
@pytest.mark.parametrize("sides", [(8, 8), (1, 5), (64, 3)])
def test_parts_that_come_back_cover_each_pixel_once_and_are_those_of_the_whole(zoom, sides):
    grid = Grid(SIZE, zoom)
    chances = torch.rand(2, 3, *grid.shape, generator=torch.Generator().manual_seed(0))
    _, expected = grid.back((slice(0, 3), *whole(grid.shape)), (slice(0, 3), *whole(grid.shape)), chances)
    found, times = np.zeros((2, 3, *SIZE), np.float32), np.zeros(SIZE, int)
    everything = (slice(0, 3), *whole(grid.shape))
    for part in parts_of(grid.shape, sides):
        core = (slice(0, 3), *part)
        known = grid.grown(core, everything)
        assert grid.decided(core, everything) == known
        place, values = grid.back(core, known, chances[(slice(None), *known)])
        found[(slice(None), *place)] = values.numpy()
        times[place[1:]] += 1
    assert (times == 1).all()
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_grid_that_is_the_same_gives_the_pixels_themselves():
    plane = picture().astype(np.float64)
    np.testing.assert_array_equal(Grid(SIZE).read(plane, slice(3, 9), slice(0, 5)), plane[:, 3:9, :5].astype(np.float32))
    assert Grid(SIZE).margin == (0, 0)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 40)])
@pytest.mark.parametrize("zoom", [(0.3, 0.3), (2.5, 2.5), (9.0, 9.0)])
def test_pictures_of_a_few_pixels_have_a_grid_too(size, zoom):
    grid = Grid(size, zoom)
    read = grid.read(np.full((1, *size), 5, np.uint8), *whole(grid.shape))
    np.testing.assert_allclose(read, 5, rtol=1e-5)
    _, back = grid.back(whole(grid.shape), whole(grid.shape), torch.from_numpy(read))
    np.testing.assert_allclose(back.numpy(), np.full((1, *size), 5), rtol=1e-5)


def test_margins_are_whole_strides_where_a_network_wants_that():
    assert Grid(SIZE, (0.5, 2.0), (16, 8)).margin == (16, 8)
    assert Grid(SIZE, (0.5, 2.0)).margin == (3, 2)


def test_the_blur_is_a_gaussian_of_the_variance_that_larger_pixels_add():
    point = np.zeros((1, 41, 41), np.float32)
    point[0, 20, 20] = 1
    spread = softened(point, (4.0, 1.0))[0]
    assert np.flatnonzero(spread.sum(0)).tolist() == [20]
    variance = (spread.sum(1) * (np.arange(41) - 20) ** 2).sum()
    assert variance == pytest.approx((16 - 1) / 12, rel=0.03)
    assert softened(point, (0.5, 1.0)) is point
    assert spread.dtype == np.float32


EM = {"axes": "ZYX", "spacing_um": [0.05, 0.004, 0.004]}


@pytest.mark.parametrize(
    ("own", "zoom"),
    [
        ((0.004, 0.004), SAME),
        ((0.0045, 0.0036), SAME),
        ((0.008, 0.008), (0.5, 0.5)),
        ((0.002, 0.004), (2.0, 1.0)),
        ((), SAME),
        ((353.0, 353.0), SAME),
    ],
)
def test_pixels_are_resampled_where_both_sizes_are_known_and_differ_by_more_than_15_percent_but_not_beyond_belief(own, zoom):
    assert zoom_between(own, learned_pixel_um(EM)) == pytest.approx(zoom)
    assert zoom_between(own, ()) == SAME
    assert bool(resampling_text(own, learned_pixel_um(EM))) == (zoom != SAME or own == (353.0, 353.0))


def test_the_card_says_the_pixel_size_and_older_cards_the_spacing_of_the_first_image():
    assert learned_pixel_um(EM | {"pixel_um": [0.008, 0.01]}) == (0.008, 0.01)
    assert learned_pixel_um(EM | {"pixel_um": []}) == ()  # images of unknown size were among them
    assert learned_pixel_um(EM) == (0.004, 0.004)
    assert learned_pixel_um({"axes": "TYX", "spacing_um": [0.3, 0.2]}) == (0.3, 0.2)
    assert learned_pixel_um({}) == learned_pixel_um({"pixel_um": [0, 1]}) == learned_pixel_um({"pixel_um": "x"}) == ()
    assert image_pixel_um(Stack(np.zeros((2, 4, 5)), "ZYX", (3, 2, 1))) == (2, 1)
    assert image_pixel_um(Stack(np.zeros((2, 4, 5)), "ZYX")) == ()


def test_it_is_said_by_how_much_planes_are_resampled():
    assert resampling_text((0.008, 0.008), (0.004, 0.004)) == "Image has 8 nm pixels, the model learned at 4 nm: planes are resampled by 2."
    assert resampling_text((0.5, 0.25), (0.5, 0.5)) == "Image has 0.25×0.5 µm pixels, the model learned at 0.5 µm: planes are resampled by 0.5×1."
    assert told_of({"image_pixel_um": [0.002, 0.002], "model_pixel_um": [0.008, 0.008]}).endswith("resampled by 0.25.")
    assert told_of({}) == ""
