"""A model in memory, and the stack as that model sees it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.core.errors import DataError, ModelError
from napari_segtool.core.planes import PlaneIndex, plane_axes, plane_shape, read_plane
from napari_segtool.core.registry import NETWORKS
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.nets._bundle import load_network
from napari_segtool.nets._forward import Forward, flushed_denormals
from napari_segtool.nets._neighbours import neighbour_axis, neighbour_slices, neighbours_of, network_channels
from napari_segtool.nets._normalise import Normalisation, fill_gaps
from napari_segtool.nets._pixel_size import SAME, Zoom
from napari_segtool.nets._resample import Grid
from napari_segtool.nets._tiling import Box, fitting_core, plan_tiles

_CHEAP = 1.35
"""An exact halo is used where it makes the network see at most this many times the pixels it decides."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A bundle with its network ready on a device.

    Parameters
    ----------
    bundle
        Where it came from, with its card.
    forward
        The network.
    normalisation
        What turns pixel values into its input.
    values, names
        Label value and name of each class, in the order of the logits.
    halo
        Exact reach of the network in pixels along each spatial axis.
    neighbours
        2.5-D: slices on each side that the network is shown beside the one it decides.
    head
        ``"softmax"``, or ``"sigmoid"`` where each logit was trained as its class against the rest.
    class_bias
        Added to the logarithm of each class's probability, which moves the threshold between classes to where validation
        found it best; empty for none. Probabilities are returned with it, so that a pixel's class is always its most
        probable one.
    """

    bundle: ModelBundle
    forward: Forward
    normalisation: Normalisation
    values: tuple[int, ...]
    names: tuple[str, ...]
    halo: tuple[int, ...]
    neighbours: int = 0
    head: Literal["softmax", "sigmoid"] = "softmax"
    class_bias: tuple[float, ...] = ()
    separator: int = -1

    @property
    def title(self) -> str:
        """Name of the network for people."""
        name = str(self.bundle.card["network"])
        return NETWORKS.get(name).title if name in NETWORKS else name

    @property
    def label_names(self) -> tuple[str, ...]:
        """Name of label 0, 1, … up to the highest; empty for values that are no class."""
        known = dict(zip(self.values, self.names, strict=True))
        return tuple(known.get(value, "") for value in range(max(self.values) + 1)) if max(self.values) < 1000 else ()

    def tile_size(self, shape: Sequence[int], *, exact: bool = False, gradient: bool = False, largest_px: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Choose how to tile scenes of a shape.

        Returns
        -------
        halo, core
            In pixels along each spatial axis. The halo is exact where that is asked for or cheap, else half the reach:
            a network's attention falls off from the centre, so that this changes less than the rounding of bfloat16.
        """
        forward = self.forward
        limit, half = largest_px or forward.largest_px(gradient=gradient), tuple(-(-n // 2) for n in self.halo)
        core = fitting_core(shape, self.halo, forward.multiple, limit)
        tiles = plan_tiles(shape, core, self.halo, forward.multiple)
        shown, decided = sum(math.prod(t.outer_shape) for t in tiles), math.prod(shape)
        if exact or forward.border_px or shown <= _CHEAP * decided:  # a network without padding computes as much with less of a halo
            return self.halo, core
        return half, fitting_core(shape, half, forward.multiple, limit)

    def chances(self, logits: Tensor) -> Tensor:
        """Return probabilities ``(N, K, …)`` that add up to 1 over the classes, of logits of that shape."""
        return (F.logsigmoid(logits) if self.head == "sigmoid" else logits).softmax(1)

    def ranks(self, logits: Tensor) -> Tensor:
        """Return numbers ``(N, K, …)``, of logits of that shape, whose largest is at the class a pixel is given."""
        if not self.class_bias:
            return logits
        return (F.logsigmoid(logits) if self.head == "sigmoid" else logits) + self._bias(logits, 1)

    def weighed(self, chances: Tensor) -> Tensor:
        """Return probabilities ``(K, …)`` with the bias of the classes in them; they still add up to 1."""
        if not self.class_bias:
            return chances
        raised = chances * self._bias(chances, 0).exp()
        return raised / raised.sum(0)

    def _bias(self, like: Tensor, axis: int) -> Tensor:
        return torch.tensor(self.class_bias, dtype=like.dtype, device=like.device).reshape(-1, *[1] * (like.ndim - axis - 1))

    def index_of(self, class_value: int) -> int:
        """Return the logit's index of a class, or raise `ModelError` that lists the classes there are."""
        if class_value not in self.values:
            known = ", ".join(f"{value} ({name})" if name else str(value) for value, name in zip(self.values, self.names, strict=True))
            raise ModelError(f"The model has no class {class_value}.", hint=f"Its classes are {known}.")
        return self.values.index(class_value)


def load_model(bundle: ModelBundle, *, device: str = "auto", precision: str = "auto", threads: int = 0) -> LoadedModel:
    """Build a bundle's network and make it ready.

    Raises
    ------
    ModelError
        If the bundle is damaged.
    DeviceError
        If the device is absent or too small.
    """
    card = bundle.card
    with flushed_denormals():  # from the first: the threads that torch starts here keep the setting
        forward = Forward(load_network(bundle), device=device, precision=precision, threads=threads)
    try:
        values = tuple(int(entry["value"]) for entry in card["classes"])
        names = tuple(str(entry.get("name", "")) for entry in card["classes"])
        normalisation = Normalisation.from_record(card["normalisation"])
        halo = card.get("halo")
        reach = tuple(int(n) for n in np.broadcast_to(halo, forward.spatial)) if halo else forward.halo
        head, bias = card.get("head", "softmax"), tuple(float(n) for n in card.get("class_bias", ()))
        if head not in ("softmax", "sigmoid"):
            raise ValueError(f"its head {head!r} is not known")
        if bias and (len(bias) != len(values) or not np.isfinite(bias).all()):
            raise ValueError(f"class_bias = {bias} is not one number for each of {len(values)} classes")
        separator = int(card.get("separator", -1))
        if not -1 <= separator < len(values):
            raise ValueError(f"separator = {separator} is none of its {len(values)} classes")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"The model card of {bundle.path} cannot be used: {error}.", hint="Train it again, or copy the folder again.") from None
    return LoadedModel(bundle, forward, normalisation, values, names, reach, neighbours_of(card), head, bias if any(bias) else (), separator)


class Scenes:
    """A stack as a network sees it: a row of pictures for a 2-D network, of volumes for a 3-D one.

    Planes are read when a tile needs them and kept only while their neighbours do, normalised one by one as in training;
    so memory is bounded by a plane (2-D), by a plane and its neighbours (2.5-D), or by a tile's planes (3-D), whatever
    holds the stack.

    Parameters
    ----------
    stack
        numpy, memory map, dask or zarr.
    model
        Whose normalisation and channels apply.
    zoom
        Pixels of the stack, along Y and X, that make one of those the network is shown.

    Attributes
    ----------
    grid : Grid
        From the stack's pixels to those of scenes, and back.
    shape : tuple of int
        Pixels of one scene along ``YX`` or ``ZYX``, on that grid.
    axes : str
        Axes of the stack that scenes are counted along.

    Raises
    ------
    ModelError
        If the stack's channels or dimensions are not those the model was trained on.
    """

    def __init__(self, stack: Stack, model: LoadedModel, zoom: Zoom = SAME) -> None:
        if 0 in stack.shape:
            raise DataError(f"{stack.name or 'The image'} has no pixels: its shape is {stack.shape}.")
        spatial = model.forward.spatial
        _check_channels(stack, model)
        if spatial == 3 and "Z" not in stack.axes:
            raise ModelError(
                f"The model works on volumes, but {stack.name or 'the image'} has the axes {stack.axes}.",
                hint="If its pages are sections, say so: --axes ZYX. Else use a 2-D model.",
            )
        self._beside = neighbour_axis(stack) if model.neighbours else ""
        if model.neighbours and not self._beside:
            shown = 2 * model.neighbours + 1
            raise ModelError(
                f"The model looks at {shown} slices at a time, but {stack.name or 'the image'} is a single picture ({stack.axes}).",
                hint="Give the stack that the picture is from, or use a model that was trained without neighbouring slices.",
            )
        self._stack, self._normalisation, self._neighbours = stack, model.normalisation, model.neighbours
        self._walk = "Z" if spatial == 3 else ""
        self.axes = "".join(axis for axis in plane_axes(stack) if axis not in self._walk)
        size = dict(zip(stack.axes, stack.shape, strict=True))
        self.grid = Grid((size["Y"], size["X"]), zoom, model.forward.multiple[-2:] if model.forward.border_px else (1, 1))
        self.shape = (*(size[axis] for axis in self._walk), *self.grid.shape)
        self._planes: OrderedDict[PlaneIndex, tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]] = OrderedDict()

    def plane_index(self, scene: Sequence[int], z: int = 0) -> PlaneIndex:
        """Return the plane at depth ``z`` of a scene; a 2-D scene has one plane only."""
        position = dict(zip(self.axes, scene, strict=True)) | dict.fromkeys(self._walk, z)
        return tuple(position[axis] for axis in plane_axes(self._stack))

    def read(self, scene: Sequence[int], box: Box) -> NDArray[np.float32]:
        """Return a part of a scene, normalised: float32, ``(C, [Z,] Y, X)``; in 2.5-D the channels of the slices shown, see `neighbour_slices`."""
        indices = self._shown(scene, box)
        planes = [self._part(index, box, len(indices)) for index in indices]
        if self._walk:
            return np.stack(planes, axis=1)
        return planes[0] if len(planes) == 1 else np.stack(planes, axis=1).reshape(-1, *planes[0].shape[1:])

    def _shown(self, scene: Sequence[int], box: Box) -> list[PlaneIndex]:
        """The planes that the network is shown for a part of a scene."""
        if self._walk:
            return [self.plane_index(scene, z) for z in range(box[0].start, box[0].stop)]
        index = self.plane_index(scene)
        if not self._beside:
            return [index]
        place = plane_axes(self._stack).index(self._beside)
        slices = neighbour_slices(index[place], self._neighbours, plane_shape(self._stack)[place])
        return [(*index[:place], each, *index[place + 1 :]) for each in slices]

    def _part(self, index: PlaneIndex, box: Box, keep: int) -> NDArray[np.float32]:
        plane, mean, deviation = self._plane(index, keep)
        part = self.grid.read(plane, box[-2], box[-1])
        part -= mean[:, None, None]
        part /= deviation[:, None, None]
        return part

    def _plane(self, index: PlaneIndex, keep: int) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        if index in self._planes:
            self._planes.move_to_end(index)
            return self._planes[index]
        plane = read_plane(self._stack, index)
        plane = plane if plane.ndim == 3 else plane[None]
        mean, deviation = self._normalisation.scale(plane)
        self._planes[index] = (fill_gaps(plane) if plane.dtype.kind == "f" else plane, mean, deviation)
        while len(self._planes) > keep:
            self._planes.popitem(last=False)
        return self._planes[index]


def _check_channels(stack: Stack, model: LoadedModel) -> None:
    there = stack.shape[stack.channel_axis] if stack.channel_axis >= 0 else 1
    takes, shown = model.forward.channels, network_channels(1, model.neighbours)
    wanted, left = divmod(takes, shown)
    if left:
        raise ModelError(
            f"The model's network takes {takes} channels, which are not those of {shown} slices, as its card says.",
            hint="Train it again, or copy the folder again from where it came.",
        )
    if there == wanted:
        return
    what = "colour samples" if "S" in stack.axes else "channel(s)"
    beside = f" (in each of the {shown} slices it looks at)" if model.neighbours else ""
    hint = (
        "Choose one channel of the image, or turn it into grey first."
        if wanted == 1
        else f"Give an image with {wanted} channels, or a model trained on such images."
    )
    raise ModelError(f"{stack.name or 'The image'} has {there} {what}, but the model was trained on {wanted}{beside}.", hint=hint)
