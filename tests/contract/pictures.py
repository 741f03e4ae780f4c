"""Pictures that every method and filter is held to: all axes and types, and phantoms with a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_segtool.core.given import Given
from napari_segtool.core.params import describe
from napari_segtool.core.registry import Entry
from napari_segtool.core.stack import Stack

LEVELS = (30, 90, 160, 225)


def scene(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Four bands of grey in [0, 255] along the last axis, with a little noise; float64."""
    generator = np.random.default_rng(seed)
    band = np.minimum(np.arange(shape[-1]) * 4 // shape[-1], 3)
    return np.clip(np.array(LEVELS, float)[band] + generator.normal(0, 6, shape), 0, 255)


def stack_of(axes: str, shape: tuple[int, ...], dtype: str, spacing_um: tuple[float, ...] = ()) -> Stack:
    """A stack of that form; read-only, so that writing to it is an error."""
    data = scene(shape)
    if axes[-1] == "S":
        data = np.repeat(scene(shape[:-1])[..., None], shape[-1], axis=-1) * np.linspace(1, 0.7, shape[-1])
    data = data.astype(dtype) if np.dtype(dtype).kind == "f" else (data * (200 if np.dtype(dtype).itemsize == 2 and dtype[-2:] == "u2" else 1)).astype(dtype)
    if dtype in ("float32", ">f4"):
        data /= np.array(255, data.dtype)
    data.flags.writeable = False
    return Stack(data, axes, spacing_um, name="picture")


USUAL = {
    "2-D uint8": ("YX", (24, 40), "uint8", ()),
    "3-D uint8": ("ZYX", (4, 24, 40), "uint8", ()),
    "3-D anisotropic uint16": ("ZYX", (4, 24, 40), "u2", (0.05, 0.004, 0.004)),
    "big-endian uint16": ("ZYX", (3, 24, 40), ">u2", ()),
    "float32": ("ZYX", (3, 24, 40), "float32", (1.0, 0.5, 0.5)),
    "big-endian float32": ("YX", (24, 40), ">f4", ()),
    "float64": ("YX", (24, 40), "float64", ()),
    "int16": ("YX", (24, 40), "int16", ()),
    "int32": ("YX", (24, 40), "int32", ()),
    "pages of unknown meaning": ("QYX", (3, 24, 40), "uint8", ()),
    "RGB": ("YXS", (24, 40, 3), "uint8", ()),
    "RGBA pages": ("ZYXS", (3, 24, 40, 4), "uint8", ()),
    "channels": ("CYX", (2, 24, 40), "u2", ()),
    "channels after Z": ("ZCYX", (3, 2, 24, 40), "uint8", ()),
    "time": ("TZYX", (2, 3, 24, 40), "uint8", ()),
    "X before Y": ("ZXY", (3, 24, 40), "uint8", ()),
    "one voxel thin": ("ZYX", (1, 24, 40), "uint8", ()),
    "one row": ("ZYX", (3, 1, 40), "uint8", ()),
    "one column": ("ZYX", (3, 40, 1), "uint8", ()),
}


def usual(name: str) -> Stack:
    """A fresh stack of `USUAL`."""
    return stack_of(*USUAL[name])


def settings_for(entry: Entry, stack: Stack) -> dict[str, Any]:
    """Settings without which an entry cannot start: a seed in the middle, and what it must be given beside the image."""
    place = ",".join(str(n // 2) for n in stack.label_shape)
    seeds = {field.name: f"{place}:1" for field in describe(entry.params) if field.kind == "points"}
    given = given_for(entry, stack)
    return {**seeds, **{name: getattr(given, name) for name in given.names()}}


def bands(stack: Stack, across: str = "") -> np.ndarray:
    """Labels 0 to 3 of the four bands of `scene`, of the stack's label shape; or of bands across another axis."""
    across = across or stack.label_axes[-1]
    shape = [n if axis == across else 1 for axis, n in zip(stack.label_axes, stack.label_shape, strict=True)]
    along = stack.label_shape[stack.label_axes.index(across)]
    band = np.minimum(np.arange(along) * 4 // max(1, along), 3).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(band.reshape(shape), stack.label_shape))


def given_for(entry: Entry, stack: Stack) -> Given:
    """What an entry must be given over one of these pictures: a stroke in every band as paint, the bands as labels."""
    truth = bands(stack)
    paint = np.zeros_like(truth)
    if "paint" in entry.traits:
        across = stack.label_axes[-1 if stack.label_shape[-1] > 1 else -2]  # a picture of one column still gets paint of several classes
        rows = tuple(
            slice(None) if axis == across else slice(n // 3, n // 3 + 1 + n // 4) if axis in "YX" else slice(None)
            for axis, n in zip(stack.label_axes, stack.label_shape, strict=True)
        )
        paint[rows] = bands(stack, across)[rows] + 1
    return Given(paint if "paint" in entry.traits else None, truth if needs_labels(entry) else None)


def needs_labels(entry: Entry) -> bool:
    """Whether an entry has nothing to do without labels: it starts from them, or it is post-processing."""
    return "labels" in entry.traits or entry.family == "refine"


class Lazy:
    """An array that is read from somewhere: it hands out parts, refuses to be read whole, and remembers the largest part."""

    def __init__(self, data: np.ndarray) -> None:
        self._data = data
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.largest = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self._data[key].copy()
        self.largest = max(self.largest, part.size)
        return part

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise AssertionError("read whole")


@dataclass(frozen=True)
class Phantom:
    """A stack, what is in it (one value for each thing), and settings under which its method must find it."""

    stack: Stack
    truth: np.ndarray
    settings: dict[str, Any]
    clean: np.ndarray


def levels_phantom() -> Phantom:
    """Four nested boxes of grey in a volume, with noise."""
    truth = np.zeros((8, 48, 48), int)
    for level in (1, 2, 3):
        cut = 6 * level
        truth[level // 2 : 8 - level // 2, cut : 48 - cut, cut : 48 - cut] = level
    clean = np.array(LEVELS, float)[truth]
    noisy = np.clip(clean + np.random.default_rng(1).normal(0, 8, clean.shape), 0, 255).astype(np.uint8)
    return Phantom(Stack(noisy, "ZYX"), truth, {"smoothing_px": 0.5}, clean)


def patches_phantom() -> Phantom:
    """A large box in each of two slices."""
    truth = np.zeros((2, 64, 80), int)
    truth[:, 10:50, 22:60] = 1
    clean = 60 + 120.0 * truth
    noisy = np.clip(clean + np.random.default_rng(6).normal(0, 8, clean.shape), 0, 255).astype(np.uint8)
    return Phantom(Stack(noisy, "ZYX"), truth, {"size_px": 8.0}, clean)


def painted_phantom() -> Phantom:
    """The four bands of `scene`, in which the contract paints a stroke each."""
    stack = stack_of("ZYX", (3, 40, 80), "uint8")
    truth = bands(stack).astype(int) + 1
    return Phantom(stack, truth, {}, np.array(LEVELS, float)[truth - 1])


def discs_phantom() -> Phantom:
    """Discs of several sizes in two slices, with noise and a soft outline."""
    from scipy.ndimage import gaussian_filter

    y, x = np.mgrid[:120, :120]
    truth = np.zeros((2, 120, 120), int)
    for number, (z, cy, cx, radius) in enumerate(((0, 30, 30, 20), (0, 80, 85, 28), (1, 60, 40, 25), (1, 95, 100, 14)), start=1):
        truth[z][(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    clean = np.stack([gaussian_filter(40 + 150.0 * (plane > 0), 1) for plane in truth])
    noisy = np.clip(clean + np.random.default_rng(2).normal(0, 15, clean.shape), 0, 255).astype(np.uint8)
    return Phantom(Stack(noisy, "ZYX"), truth, {}, clean)


def impulse_phantom() -> Phantom:
    """A smooth hill with noise and single bad pixels."""
    y, x = np.mgrid[:64, :64]
    clean = np.repeat((60 + 120 * np.exp(-((y - 32) ** 2 + (x - 32) ** 2) / 600))[None], 3, axis=0)
    generator = np.random.default_rng(3)
    noisy = clean + generator.normal(0, 12, clean.shape)
    noisy[generator.random(clean.shape) < 0.02] = 255
    return Phantom(Stack(np.clip(noisy, 0, 255).astype(np.uint8), "ZYX"), clean.astype(int), {}, clean)


def spots_phantom() -> Phantom:
    """Bright spots on a dark background, with noise that is stronger where it is brighter."""
    y, x = np.mgrid[:96, :96]
    truth = np.stack([((y + 12 * z) % 32 - 16) ** 2 + (x % 32 - 16) ** 2 <= 60 for z in range(3)]).astype(int)
    clean = 40 + 160.0 * truth
    noisy = np.clip(clean + np.random.default_rng(4).normal(0, 1, clean.shape) * np.where(truth, 20, 8), 0, 255).astype(np.uint8)
    return Phantom(Stack(noisy, "ZYX"), truth, {}, clean)


def shaded_phantom() -> Phantom:
    """Bright discs, those in the shade darker than the background in the light: no one threshold finds them."""
    y, x = np.mgrid[:96, :144]
    truth = np.stack([((y + 6 * z) % 24 - 12) ** 2 + (x % 24 - 12) ** 2 <= 64 for z in range(2)]).astype(int)
    clean = 30 + x + 50.0 * truth
    noisy = np.clip(clean + np.random.default_rng(5).normal(0, 4, clean.shape), 0, 255).astype(np.uint8)
    return Phantom(Stack(noisy, "ZYX"), truth, {"smoothing_px": 0.7, "window_px": 35, "k": 0.1}, clean)


def drawn_phantom() -> Phantom:
    """The discs, and a rough shape drawn in each."""
    discs = discs_phantom()
    drawn = np.zeros(discs.truth.shape, np.uint8)
    z, y, x = np.ogrid[:2, :120, :120]
    for number in range(1, discs.truth.max() + 1):
        places = np.argwhere(discs.truth == number)
        (at, cy, cx), radius = places.mean(axis=0), np.sqrt(len(places) / np.pi)
        drawn[(z == at) & ((y - cy - 1) ** 2 + 0.8 * (x - cx + 1) ** 2 < (0.85 * radius) ** 2)] = number
    return Phantom(discs.stack, discs.truth, {"labels": drawn}, discs.clean)


def two_discs() -> tuple[np.ndarray, np.ndarray]:
    """Labels 1 and 2, a disc each in three slices, and their grey values."""
    y, x = np.mgrid[:80, :112]
    plane = 1 * ((y - 40) ** 2 + (x - 30) ** 2 <= 22**2) + 2 * ((y - 38) ** 2 + (x - 82) ** 2 <= 20**2)
    truth = np.repeat(plane[None], 3, axis=0)
    return truth, np.array([40.0, 110.0, 190.0])[truth]


def refined(spoilt: np.ndarray) -> Phantom:
    """A noisy picture of the two discs, and spoilt labels of them."""
    truth, clean = two_discs()
    noisy = np.clip(clean + np.random.default_rng(6).normal(0, 10, clean.shape), 0, 255).astype(np.uint8)
    return Phantom(Stack(noisy, "ZYX"), truth, {"labels": spoilt.astype(np.uint8)}, clean)


def crumbs_phantom() -> Phantom:
    """Two discs, and crumbs of both labels strewn over the background."""
    truth, _ = two_discs()
    generator = np.random.default_rng(7)
    crumbs = generator.integers(1, 3, truth.shape) * (generator.random(truth.shape) < 0.08)
    return refined(np.where(truth == 0, crumbs, truth))


def pinholes_phantom() -> Phantom:
    """Two discs with holes in them."""
    truth, _ = two_discs()
    y, x = np.mgrid[:80, :112]
    return refined(np.where((y % 8 < 3) & (x % 8 < 3) & (y > 21) & (y < 59), 0, truth))


def cut_phantom() -> Phantom:
    """Two discs, and pieces of both labels at the border of the picture."""
    truth, _ = two_discs()
    spoilt = truth.copy()
    spoilt[:, :4, :60] = 1
    spoilt[:, -4:, 30:] = 2
    return refined(spoilt)


PHANTOMS = {
    "levels": levels_phantom,
    "spots": spots_phantom,
    "shaded": shaded_phantom,
    "discs": discs_phantom,
    "drawn": drawn_phantom,
    "crumbs": crumbs_phantom,
    "pinholes": pinholes_phantom,
    "cut": cut_phantom,
    "impulse": impulse_phantom,
    "patches": patches_phantom,
    "painted": painted_phantom,
}


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two masks."""
    return 2 * np.logical_and(first, second).sum() / (first.sum() + second.sum())
