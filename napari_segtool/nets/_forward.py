"""A network made ready to be asked: BatchNorm folded, channels-last, in the number format that pays on this machine."""

from __future__ import annotations

import contextlib
import copy
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from napari_segtool.core.errors import DeviceError, ParameterError
from napari_segtool.nets._blocks import repeat_border
from napari_segtool.nets._fuse import fold_batchnorm, fuse_activations
from napari_segtool.nets._precision import bfloat16_pays
from napari_segtool.nets._reach import input_channels, least_shape, network_multiple, receptive_halo, spatial_dimensions
from napari_segtool.nets._tiling import Box
from napari_segtool.nets._work import counted

__all__ = ["Forward", "flushed_denormals", "out_of_memory", "receptive_halo", "resolve_device"]

_MEGABYTE = 1 << 20
_TILE_S, _TOO_SLOW_S = 0.5, 2.0
"""Seconds a forward pass should take, and should not: work is cancelled between two of them."""
_CPU_PRODUCTS = {"float32": 40e9, "bfloat16": 100e9}
"""Multiplications of one pass: about half a second of two cores."""
_AGREEMENT = 0.05
"""Largest relative difference of bfloat16 logits from float32 ones at which bfloat16 is still chosen by itself."""


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``, or raise `DeviceError` if this machine lacks it.

    Parameters
    ----------
    name
        "auto" (the first GPU, else the CPU), "cpu", "cuda", "cuda:1" or "mps".

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    asked = name.strip().lower()
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = torch.backends.mps.is_available()
    if asked == "auto":
        return torch.device("cuda", 0) if cards else torch.device("mps" if apple else "cpu")
    there = ["cpu", *(f"cuda:{i}" for i in range(cards)), *(["mps"] if apple else [])]
    hint = f"Choose auto or one of those here: {', '.join(there)}."
    kind, _, index = asked.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()) or (index and kind != "cuda"):
        raise DeviceError(f"There is no device called {name!r}.", hint=hint)
    if kind == "cuda":
        if not cards:
            why = "this installation of torch is for the CPU only" if torch.version.cuda is None else "torch finds no NVIDIA GPU"
            raise DeviceError(f"The device {name!r} is not there: {why}.", hint=hint)
        if int(index or 0) >= cards:
            raise DeviceError(f"The device {name!r} is not there: this machine has {cards} NVIDIA GPU(s).", hint=hint)
        return torch.device("cuda", int(index or 0))
    if kind == "mps" and not apple:
        raise DeviceError(f"The device {name!r} is not there: it needs a Mac with Apple silicon.", hint=hint)
    return torch.device(kind)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception means that memory ran out, on whatever device."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc"))
    )


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as zero in this thread for a while: on dark images they slow a CPU severalfold.

    The thread is left as it was: code of others may rely on denormals. OpenMP's threads take this setting from the thread
    that starts them, so the first work of a process should be done inside; `Forward` does that.
    """
    tiny = sys.float_info.min
    flushed = tiny / 2 == 0
    if not flushed:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if not flushed:
            torch.set_flush_denormal(False)


class Forward:
    """A network ready to be asked, on its device and in its number format; the given network is left alone.

    Parameters
    ----------
    network
        Maps ``(N, C, [Z,] Y, X)`` to logits ``(N, K, [Z,] Y, X)``.
    device
        As `resolve_device` takes it.
    precision
        "float32", "bfloat16", or "auto": bfloat16 where it pays on this machine (see `bfloat16_pays`) and the logits of
        this network agree. The choice is the same each time.
    threads
        Processor cores for torch in this process; 0 leaves them as they are.

    Attributes
    ----------
    device : torch.device
    precision : str
        "float32" or "bfloat16", as chosen.
    network : torch.nn.Module
        The folded copy, in evaluation mode, without gradients for its weights. Modules keep their names.
    multiple, halo : tuple of int
        Total stride, and reach of the logits beyond a tile, in pixels along each spatial axis.
    border_px : int
        What a network without padding takes off each side of what it is shown; 0 for all others.
    seconds_per_px : float
        Measured time of a forward pass for one pixel.
    """

    def __init__(self, network: nn.Module, *, device: str = "auto", precision: str = "auto", threads: int = 0) -> None:
        if precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(f"precision = {precision!r} is not known.", hint="Choose auto, float32 or bfloat16.")
        if threads > 0:
            torch.set_num_threads(threads)
        self.device = resolve_device(device)
        self.channels, self.spatial = input_channels(network), spatial_dimensions(network)
        self.multiple = network_multiple(network)
        self.border_px = int(getattr(network, "border_px", 0))
        self._least = least_shape(network)
        self._halo: tuple[int, ...] | None = None
        self._layout = torch.channels_last if self.spatial == 2 else torch.channels_last_3d
        try:
            with flushed_denormals():
                self.network = fold_batchnorm(network).to(self.device, torch.float32, memory_format=self._layout)  # type: ignore[call-overload]
                self._quick, self.precision = self.network, "float32"
                self._probe(precision)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise DeviceError(
                f"The network does not fit into the memory of {self.device}.", hint="Close other programs that use it, or choose --device cpu."
            ) from None

    @property
    def halo(self) -> tuple[int, ...]:
        """Reach of the logits beyond a tile, measured at first use."""
        if self._halo is None:
            self._halo = receptive_halo(self.network, self.spatial)
        return self._halo

    @property
    def bytes_per_px(self) -> float:
        """Memory that the feature maps of all layers take for one input pixel, as needed for gradients."""
        return self._floats_per_px * (2 if self.precision == "bfloat16" else 4)

    def logits(self, batch: Tensor) -> Tensor:
        """Return the logits of a batch, float32, on the network's device.

        Parameters
        ----------
        batch
            float32, ``(N, C, [Z,] Y, X)``, normalised; any device.
        """
        with torch.inference_mode(), flushed_denormals():
            return self._run(self._quick, batch)

    def differentiable(self, batch: Tensor) -> Tensor:
        """The same as `logits`, but gradients flow from the logits to ``batch`` where that requires them, and hooks on `network` are called."""
        return self._run(self.network, batch)

    def prepared(self, batch: Tensor, inner: Sequence[Box]) -> tuple[Tensor, Sequence[Box]]:
        """Return what must be shown to decide a part of each picture of a batch, and where that part lies in its logits.

        A network without padding is shown the parts, of one shape, and their borders, mirrored where the pictures end, and
        decides nothing else; any other the whole pictures, grown to multiples of the total stride.
        """
        moved = batch.to(self.device)
        if not self.border_px:
            return self.padded(moved), inner
        shown = [self.network.with_border(picture[None], box) for picture, box in zip(moved, inner, strict=True)]
        return torch.cat(shown), [tuple(slice(0, part.stop - part.start) for part in box) for box in inner]

    def decided(self, shown: Tensor) -> Tensor:
        """Return the logits of what `prepared` made, or of its mirror image."""
        if not self.border_px:
            return self.logits(shown)
        with torch.inference_mode(), flushed_denormals():
            return self._apply(self._quick.valid, shown).float()

    def _run(self, network: nn.Module, batch: Tensor) -> Tensor:
        logits = self._apply(network, self.padded(batch.to(self.device)))
        crop: tuple[slice, ...] = (slice(None), slice(None), *(slice(n) for n in batch.shape[2:]))
        return logits[crop].float()

    def _apply(self, network: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        batch = batch.contiguous(memory_format=self._layout)
        if self.precision == "float32":
            return network(batch)
        if self.device.type == "cpu":  # whole network in bfloat16: half the time of autocast, which converts at each layer
            return network(batch.bfloat16())
        with torch.autocast(self.device.type, torch.bfloat16):
            return network(batch)

    def padded(self, batch: Tensor) -> Tensor:
        """Return a batch grown at the far ends to multiples of the total stride, by repeating its border.

        A network that mirrors the border itself is shown the batch as it is.
        """
        return batch if self.border_px else repeat_border(batch, self.multiple, self._least)

    def largest_px(self, *, gradient: bool = False) -> int:
        """Return how many pixels one pass may take: what fits the memory, and ends in about half a second.

        That is judged by counting multiplications, so that the same picture is cut into the same tiles each time; only
        where a pass would take seconds does the measured speed decide. A pass back takes twice as long as the one forward.
        """
        memory, work = (768.0 if gradient else 256.0) * _MEGABYTE, _CPU_PRODUCTS[self.precision]
        if self.device.type == "cuda":
            memory, work = 0.4 * torch.cuda.mem_get_info(self.device)[0], math.inf
        elif self.device.type == "mps":
            memory, work = 1024.0 * _MEGABYTE, math.inf
        limit = min(memory / (self.bytes_per_px * (1.5 if gradient else 0.8)), work / max(1.0, self._products_per_px))
        if limit * self.seconds_per_px > _TOO_SLOW_S:
            limit = _TILE_S / self.seconds_per_px
        return max(math.prod(2 * n for n in self.multiple), int(limit))

    def in_float32(self) -> Forward:
        """Return the same network in float32: itself, or a twin that shares what can be shared."""
        if self.precision == "float32":
            return self
        exact = copy.copy(self)
        (exact.network, exact._quick), exact.seconds_per_px = self._full, self._full_seconds_per_px
        exact.precision = "float32"
        return exact

    def altered(self, change: Callable[[nn.Module], object]) -> Forward:
        """Return a float32 twin with a network of its own, changed by ``change``; it computes nothing in place and takes the same tiles."""
        twin = copy.copy(self.in_float32())
        twin.network = copy.deepcopy(twin.network)
        for module in twin.network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False
        change(twin.network)
        twin._quick, twin._full = twin.network, (twin.network, twin.network)
        return twin

    def free_cache(self) -> None:
        """Give memory that torch holds in reserve back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _probe(self, precision: str) -> None:
        """Choose the number format, and measure speed and memory, on a small batch of noise."""
        sides = [max(2 * n, 128 if self.spatial == 2 else 32) // n * n for n in self.multiple]
        batch = torch.randn(1, self.channels, *sides, generator=torch.Generator().manual_seed(0))
        pixels = math.prod(n + 2 * self.border_px for n in sides)  # a tile's halo is this border: it costs as much as what it surrounds
        with counted(self.network) as work:
            reference = self.logits(batch)
        self._floats_per_px, self._products_per_px = work.floats / pixels, work.products / pixels
        self._fuse(batch, reference)
        self._full, self.seconds_per_px = (self.network, self._quick), self._time(batch) / pixels
        self._full_seconds_per_px = self.seconds_per_px
        if precision == "float32" or (precision == "auto" and not bfloat16_pays(self.device)):
            return
        if self.device.type == "cpu":
            self._quick = self.network = copy.deepcopy(self.network).bfloat16()
        self.precision = "bfloat16"
        rounded = self.logits(batch)
        self._fuse(batch, rounded)
        if precision == "auto" and not _difference(rounded, reference) <= _AGREEMENT:
            (self.network, self._quick), self.precision = self._full, "float32"
        else:
            self.seconds_per_px = self._time(batch) / pixels

    def _fuse(self, batch: Tensor, reference: Tensor) -> None:
        """Let each convolution do the activation after it, where torch can and the logits stay what they are."""
        if self.device.type != "cpu":
            return
        fused = fuse_activations(self.network)
        with torch.inference_mode(), flushed_denormals():
            if fused is not None and _difference(self._run(fused, batch), reference) <= 1e-3:
                self._quick = fused

    def _time(self, batch: Tensor) -> float:
        spent = []
        for _ in range(2):
            begin = time.perf_counter()
            self.logits(batch)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            spent.append(time.perf_counter() - begin)
        return min(spent)


def _difference(logits: Tensor, reference: Tensor) -> float:
    """Relative distance of two sets of logits; nan, which no limit admits, where one is not finite."""
    return float((logits - reference).norm() / reference.norm().clamp_min(1e-12))
