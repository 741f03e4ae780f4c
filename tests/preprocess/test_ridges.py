"""Hessian eigenvalues, Sato, Frangi and the Laplacian of Gaussian against scikit-image, SciPy, SimpleITK and shapes with a known answer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter, gaussian_laplace
from skimage import filters
from skimage.feature import hessian_matrix, hessian_matrix_eigvals

from napari_segtool.api import apply_filter
from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._derivatives import derivative_kernel
from napari_segtool.preprocess._hessian import eigenvalues

RIDGES = ["frangi", "sato", "hessian"]


def noise(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return (np.random.default_rng(6).random(shape) * 200).astype(dtype)


def one_width(sigma: float, **more) -> dict:
    return {"sigma_from_px": sigma, "sigma_to_px": sigma, **more}


def mirrored(data: np.ndarray, sigmas: tuple[float, ...], filtered) -> np.ndarray:
    """Filter a picture with its mirror images around it: scikit-image mirrors first derivatives with the wrong sign at the border."""
    reach = [int(6 * sigma) for sigma in sigmas]
    found = filtered(np.pad(data.astype(float), [(r, r) for r in reach], mode="symmetric"))
    return found[(..., *(slice(r, r + n) for r, n in zip(reach, data.shape, strict=True)))]


def bends(data: np.ndarray, sigmas: tuple[float, ...]) -> np.ndarray:
    """Eigenvalues of the Hessian in units of the widths, by scikit-image: (n, …), the largest first."""

    def filtered(padded: np.ndarray) -> np.ndarray:
        upper = hessian_matrix(padded, sigmas, mode="reflect", use_gaussian_derivatives=True)
        pairs = itertools.combinations_with_replacement(range(data.ndim), 2)
        return hessian_matrix_eigvals([part * sigmas[a] * sigmas[b] for part, (a, b) in zip(upper, pairs, strict=True)])

    return mirrored(data, sigmas, filtered)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0, 3.0, 9.0])
def test_kernels_give_constants_slopes_and_parabolas_their_exact_derivatives(sigma):
    x = np.arange(201) - 100.0
    for order, signal, expected in ((0, x, x), (1, x**2 + 5, 2 * x), (2, 3 * x**2 - x, np.full(201, 6.0)), (1, np.full(201, 7.0), 0 * x), (2, x, 0 * x)):
        kernel = derivative_kernel(sigma, order)
        reach = len(kernel) // 2
        assert np.allclose(np.correlate(signal, kernel, "valid"), expected[reach : 201 - reach], atol=1e-9)


def test_eigenvalues_are_those_of_numpy_for_any_symmetric_matrix():
    generator = np.random.default_rng(3)
    for n in (2, 3):
        made = generator.normal(0, 50, (500, n, n))
        made = made + made.transpose(0, 2, 1)
        made[:20] = np.eye(n) * generator.normal(0, 9, (20, 1, 1))
        made[20:30] = 0
        made[30:60] = generator.normal(0, 1, (30, n, 1)) * np.ones(n)
        made[30:60] *= made[30:60].transpose(0, 2, 1)  # of rank 1: two equal eigenvalues
        upper = tuple(made[:, a, b].astype(np.float32) for a, b in itertools.combinations_with_replacement(range(n), 2))
        expected = np.linalg.eigvalsh(made)[:, ::-1]
        for place, found in enumerate(eigenvalues(upper)):
            assert np.all(np.abs(found - expected[:, place]) <= 5e-4 * np.abs(expected).max(axis=1) + 1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_eigenvalues_of_a_plane_are_those_of_scikit_image(dtype):
    plane = noise((40, 33), dtype)
    expected = bends(plane.astype(float), (2.0, 2.0))
    stack = Stack(plane, "YX")
    for ridges, eigenvalue, answer in (
        ("dark", "largest", expected[0]),
        ("dark", "smallest", expected[1]),
        ("bright", "largest", -expected[1]),
        ("bright", "smallest", -expected[0]),
    ):
        found = apply_filter(stack, "hessian", ridges=ridges, eigenvalue=eigenvalue, **one_width(2)).data
        assert np.abs(found - answer).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize(("spacing", "sigmas"), [((), (2.0, 2.0, 2.0)), ((0.2, 0.1, 0.1), (1.5, 3.0, 3.0)), ((0.1, 0.3, 0.2), (6.0, 2.0, 3.0))])
def test_eigenvalues_of_a_volume_are_those_of_scikit_image_with_widths_of_equal_um(spacing, sigmas):
    volume = noise((14, 24, 20))
    expected = bends(volume, sigmas)
    for eigenvalue, place in (("largest", 0), ("smallest", 2)):
        found = apply_filter(Stack(volume, "ZYX", spacing), "hessian", ridges="dark", eigenvalue=eigenvalue, volume=True, **one_width(sigmas[2])).data
        assert np.abs(found - expected[place]).max() < 5e-3 * np.abs(expected).max()
        if spacing:
            um = {"sigma_from_um": sigmas[2] * spacing[2], "sigma_to_um": sigmas[2] * spacing[2]}
            assert np.allclose(apply_filter(Stack(volume, "ZYX", spacing), "hessian", ridges="dark", eigenvalue=eigenvalue, volume=True, **um).data, found)


@pytest.mark.parametrize("sigma", [12.0, 20.0])
def test_wide_ridges_are_those_of_scikit_image_too(sigma):
    plane = gaussian_filter(noise((90, 70)), 3)
    expected = bends(plane, (sigma, sigma))
    found = apply_filter(Stack(plane, "YX"), "hessian", ridges="dark", **one_width(sigma)).data
    assert np.abs(found - expected[0]).max() < 5e-3 * np.abs(expected).max()


@pytest.mark.parametrize("sigma", [1.0, 5.0, 12.0, 30.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wave_bends_as_the_formula_says_along_each_axis_of_a_volume_at_any_width(sigma, axis):
    shape, waves = (40, 30, 36), 2
    frequency = np.pi * waves / shape[axis]  # a cosine that its mirror image continues
    wave = np.moveaxis(np.zeros(shape), axis, -1) + 70 * np.cos(frequency * (np.arange(shape[axis]) + 0.5))
    wave = np.moveaxis(wave, -1, axis)
    bend = -wave * (frequency * sigma) ** 2 * np.exp(-((frequency * sigma) ** 2) / 2)
    for eigenvalue, expected in (("largest", np.maximum(bend, 0)), ("smallest", np.minimum(bend, 0))):
        found = apply_filter(Stack(wave, "ZYX"), "hessian", ridges="dark", eigenvalue=eigenvalue, volume=True, **one_width(sigma)).data
        assert np.abs(found - expected).max() < 2e-3 * 70 * max(1e-3, (frequency * sigma) ** 2 * np.exp(-((frequency * sigma) ** 2) / 2))


def test_a_width_far_beyond_the_picture_sees_nothing_and_not_its_own_rounding():
    plane = noise((40, 30)) + 1e4
    for data, volume in ((plane, False), (np.stack([plane] * 4), True)):
        stack = Stack(data, "ZYX"[-data.ndim :], (0.001,) * data.ndim)
        found = apply_filter(stack, "hessian", sigma_from_um=800, sigma_to_um=800, volume=volume).data
        assert np.abs(found).max() < 0.01


@pytest.mark.parametrize("black", [False, True])
def test_sato_is_that_of_scikit_image_over_several_widths(black):
    ridges = "dark" if black else "bright"
    plane, volume = noise((40, 33)), noise((18, 20, 22))
    expected = mirrored(plane, (6, 6), lambda data: filters.sato(data, sigmas=[1.5, 3.0, 6.0], black_ridges=black, mode="reflect"))
    found = apply_filter(Stack(plane, "YX"), "sato", sigma_from_px=1.5, sigma_to_px=6, widths=3, ridges=ridges).data
    assert np.abs(found - expected).max() < 5e-3 * expected.max()
    expected = mirrored(volume, (4, 4, 4), lambda data: filters.sato(data, sigmas=[2.0, 4.0], black_ridges=black, mode="reflect"))
    found = apply_filter(Stack(volume, "ZYX"), "sato", sigma_from_px=4, sigma_to_px=2, widths=2, ridges=ridges, volume=True).data
    assert np.abs(found - expected).max() < 5e-3 * expected.max()


@pytest.mark.parametrize("black", [False, True])
def test_frangi_is_that_of_scikit_image(black):
    ridges = "dark" if black else "bright"
    for data in (noise((40, 33)), noise((18, 20, 22))):
        sigmas = (2.0,) * data.ndim
        level = float(np.sqrt((bends(data, sigmas) ** 2).sum(axis=0)).max()) / 2 / 4  # scikit-image does not multiply by the width squared
        expected = mirrored(data, sigmas, lambda padded, c=level: filters.frangi(padded, sigmas=[2.0], black_ridges=black, gamma=c, mode="reflect"))
        found = apply_filter(Stack(data, "ZYX"[-data.ndim :]), "frangi", ridges=ridges, volume=data.ndim == 3, **one_width(2)).data
        off = np.abs(found - expected)
        assert (off > 0.02).mean() < 1e-3  # the measure jumps where an eigenvalue changes its sign
        assert off.mean() < 1e-3


@pytest.mark.parametrize(("shape", "dimension"), [("lines", 1), ("sheets", 2)])
def test_frangi_of_lines_and_sheets_in_thick_slices_is_the_objectness_of_simpleitk(shape, dimension):
    spacing, sigma, contrast = (2.0, 1.0, 1.0), 4.0, 20.0
    volume = noise((20, 34, 30))
    smooth = SimpleITK.GetImageFromArray(gaussian_filter(volume, (sigma / 2, sigma, sigma)))
    smooth.SetSpacing(spacing[::-1])
    expected = SimpleITK.GetArrayFromImage(
        SimpleITK.ObjectnessMeasure(
            smooth, alpha=0.5, beta=0.5, gamma=contrast / sigma**2, scaleObjectnessMeasure=False, objectDimension=dimension, brightObject=True
        )
    )
    settings = one_width(sigma, shape=shape, contrast=contrast, volume=True)
    found = apply_filter(Stack(volume, "ZYX", spacing), "frangi", **settings).data
    inner = np.s_[4:-4, 4:-4, 4:-4]
    assert np.corrcoef(found[inner].ravel(), expected[inner].ravel())[0, 1] > 0.97
    assert np.abs(found - expected)[inner].mean() < 0.01


@pytest.mark.parametrize("spacing", [(), (0.2, 0.1), (0.3, 0.1, 0.1)])
def test_the_laplacian_is_that_of_scipy_and_simpleitk_in_um(spacing):
    shape = (20, 34, 30)[-len(spacing) :] if spacing else (34, 30)
    data = noise(shape)
    stack = Stack(data, "ZYX"[-data.ndim :], spacing)
    found = apply_filter(stack, "laplacian-of-gaussian", sigma_px=4, volume=data.ndim == 3).data
    widths = [4 * spacing[-1] / step for step in spacing] if spacing else [4.0, 4.0]
    second = [gaussian_filter(data, widths, order=[2 * (i == axis) for i in range(data.ndim)], truncate=8) * widths[axis] ** 2 for axis in range(data.ndim)]
    assert np.abs(found - sum(second)).max() < 2e-3 * np.abs(found).max()

    def by_simpleitk(padded: np.ndarray) -> np.ndarray:
        picture = SimpleITK.GetImageFromArray(padded)
        picture.SetSpacing((spacing or (1.0, 1.0))[::-1])
        return SimpleITK.GetArrayFromImage(SimpleITK.LaplacianRecursiveGaussian(picture, 4 * (spacing or (1.0,))[-1], True))

    assert np.abs(found - mirrored(data, tuple(widths), by_simpleitk)).max() < 0.03 * np.abs(found).max()
    if not spacing:
        assert np.allclose(found, 16 * gaussian_laplace(data, 4, truncate=8), atol=2e-3 * np.abs(found).max())
    else:
        assert np.allclose(apply_filter(stack, "log", sigma_um=4 * spacing[-1], volume=data.ndim == 3).data, found)


def ball_and_rods(spacing: tuple[float, float, float]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A soft ball of 6 µm in a volume of 96 µm a side."""
    axes = [np.arange(-round(48 / step), round(48 / step) + 1) * step for step in spacing]
    distance = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    return 30 + 150 * np.exp(-0.5 * (distance / 6) ** 2), tuple(len(axis) // 2 for axis in axes)


@pytest.mark.parametrize(("name", "settings"), [("laplacian-of-gaussian", {"sigma_px": 6}), *((name, one_width(6)) for name in RIDGES)])
def test_a_ball_in_slices_four_times_as_thick_answers_along_z_as_along_x(name, settings):
    volume, (cz, cy, cx) = ball_and_rods((4.0, 1.0, 1.0))
    found = apply_filter(Stack(volume, "ZYX", (4.0, 1.0, 1.0)), name, volume=True, **settings).data
    along_z, along_x = found[cz:, cy, cx], found[cz, cy, cx::4]
    near = slice(3 if name == "frangi" else None)  # where the sign of an eigenvalue changes, Frangi's measure jumps
    assert np.abs(along_z - along_x)[near].max() < 0.03 * np.abs(found).max()
    wrong = apply_filter(Stack(volume, "ZYX"), name, volume=True, **settings).data  # without its spacing the ball seems flat
    assert np.abs(wrong[cz:, cy, cx] - wrong[cz, cy, cx::4]).max() > 0.1 * np.abs(wrong).max()


@pytest.mark.parametrize("name", RIDGES)
def test_a_rod_through_thick_slices_answers_as_one_within_them(name):
    spacing = (3.0, 1.0, 1.0)
    z, y, x = (np.arange(-n, n + 1) * step for n, step in zip((12, 30, 30), spacing, strict=True))
    through = 100 * np.exp(-(y[:, None] ** 2 + x**2) / 32) + 0 * z[:, None, None]
    within = 100 * np.exp(-(z[:, None] ** 2 + y**2) / 32)[:, :, None] + 0 * x
    settings = one_width(4, volume=True)
    answers = [apply_filter(Stack(rod, "ZYX", spacing), name, **settings).data[12, 30, 30] for rod in (through, within)]
    assert answers[0] == pytest.approx(answers[1], rel=0.03)
    assert answers[0] > (0.6 if name == "frangi" else 20)


def test_the_answer_to_a_line_is_that_of_the_formula_and_strongest_at_its_own_width():
    x = np.arange(-60, 61)
    line = np.tile(80 * np.exp(-0.5 * (x / 4) ** 2), (40, 1))
    answers = []
    for sigma in (2.0, 4.0 * np.sqrt(2), 12.0):
        found = apply_filter(Stack(line, "YX"), "sato", **one_width(sigma)).data[20, 60]
        assert found == pytest.approx(80 * 4 * sigma**2 / (16 + sigma**2) ** 1.5, rel=2e-3)
        answers.append(found)
    assert answers[1] == max(answers)


@pytest.mark.parametrize("name", RIDGES)
def test_a_line_answers_equally_in_every_direction_and_dark_lines_as_bright_ones(name):
    y, x = np.mgrid[-60:61, -60:61]
    answers = []
    for angle in np.deg2rad((0, 20, 45, 70, 90)):
        turned = 100 * np.exp(-((np.cos(angle) * y + np.sin(angle) * x) ** 2) / 8)
        settings = one_width(3, **({"contrast": 5.0} if name == "frangi" else {}))
        found = apply_filter(Stack(turned, "YX"), name, **settings).data
        assert np.allclose(apply_filter(Stack(-turned, "YX"), name, ridges="dark", **settings).data, found, atol=1e-3)
        answers.append(found[60, 60])
    assert np.ptp(answers) < 0.01 * max(answers)


def test_sheets_and_lines_are_told_apart():
    _, y, x = np.mgrid[-15:16, -15:16, -15:16].astype(float)
    sheet, rod = 100 * np.exp(-(x**2) / 8), 100 * np.exp(-(x**2 + y**2) / 8)
    settings = one_width(2, contrast=10.0, volume=True)
    answer = {(name, shape): apply_filter(Stack(data, "ZYX"), "frangi", shape=shape, **settings).data[15, 15, 15]
              for name, data in (("sheet", sheet), ("rod", rod)) for shape in ("lines", "sheets")}  # fmt: skip
    assert answer["sheet", "sheets"] > 0.9
    assert answer["rod", "lines"] > 0.8
    assert answer["sheet", "lines"] < 0.1
    assert answer["rod", "sheets"] < 0.2


@pytest.mark.parametrize("name", [*RIDGES, "laplacian-of-gaussian"])
def test_an_outside_without_values_does_not_reach_far_inside_and_makes_no_ridge_of_its_own(name):
    settings = {"sigma_px": 2} if name == "laplacian-of-gaussian" else one_width(2, **({"contrast": 20.0} if name == "frangi" else {}))
    y, x = np.mgrid[:60, :60]
    inside = (y - 30) ** 2 + (x - 30) ** 2 <= 25**2
    plane = gaussian_filter(noise((60, 60)), 1)
    whole = apply_filter(Stack(plane, "YX"), name, **settings).data
    hidden = apply_filter(Stack(np.where(inside, plane, np.nan), "YX"), name, **settings).data
    deep = (y - 30) ** 2 + (x - 30) ** 2 <= 14**2
    assert np.allclose(hidden[deep], whole[deep], atol=1e-3 * np.abs(whole).max())
    strongest = np.abs(whole).max()
    flat = np.where(inside, 100 + np.random.default_rng(0).normal(0, 0.01, inside.shape), np.nan)
    assert np.nanmax(np.abs(apply_filter(Stack(flat, "YX"), name, **settings).data)) < 0.01 * strongest


def test_um_without_a_spacing_and_a_volume_without_slices_are_refused():
    for name in (*RIDGES, "log"):
        um = {"sigma_um": 0.1} if name == "log" else {"sigma_to_um": 0.1}
        with pytest.raises(SpacingError, match="no spacing"):
            apply_filter(Stack(noise((4, 4)), "YX"), name, **um)
        with pytest.raises(AxesError, match="no slices"):
            apply_filter(Stack(noise((4, 4)), "YX"), name, volume=True)
