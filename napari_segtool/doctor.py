"""What is installed here, and what is odd about a file, in the user's words."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

import napari_segtool
from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.settings import read_settings, settings_path, worker_threads
from napari_segtool.core.stack import PAGES, SPATIAL, Stack

Level = Literal["ok", "note", "warning", "problem"]
_LIBRARIES = ("napari", "numpy", "torch", "scikit-image", "tifffile", "imagecodecs")
_QT = ("PyQt5", "PyQt6", "PySide6", "PySide2")
_LITTLE_MEMORY_GIB = 4.0
_FEW_VALUES = 12


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Parameters
    ----------
    subject
        What it is about: a file's name, "GPU", "memory", …
    level
        "ok" for a plain fact, "note" for something to know, "warning" for something likely to mislead, "problem" for what does not work.
    message
        One sentence.
    hint
        What to do about it; may be empty.
    """

    subject: str
    level: Level
    message: str
    hint: str = ""


def examine(paths: Sequence[str | Path] = (), *, gpu: bool = True) -> tuple[Finding, ...]:
    """Look at the environment and at files.

    Parameters
    ----------
    paths
        Files or folders; what cannot be read becomes a "problem", nothing is raised.
    gpu
        Ask torch which devices there are; loads torch, which takes a second or two.

    Examples
    --------
    >>> findings = examine(["/nowhere/cells.tif"], gpu=False)
    >>> findings[-1].level, findings[-1].message
    ('problem', 'There is no file /nowhere/cells.tif.')
    """
    findings = list(_environment())
    if gpu:
        findings += _devices()
    for path in paths:
        findings += examine_file(path)
    return tuple(findings)


def examine_file(path: str | Path) -> tuple[Finding, ...]:
    """Look at one file, or a folder of pictures: what it says about itself, and what its values are like."""
    from napari_segtool.io._read import read_stack

    path = Path(path)
    try:
        described = tuple(_description(path))
        stack = read_stack(path)
        return (_summary(path, stack), *described, *_meaning(path, stack), *_values(path, stack))
    except SegtoolError as error:
        return (Finding(path.name, "problem", error.message, error.hint),)


def _environment() -> Iterator[Finding]:
    yield Finding(
        "napari-segtool", "ok", f"{napari_segtool.__version__}, Python {platform.python_version()}, {platform.platform(terse=True)} {platform.machine()}"
    )
    versions = {name: _version(name) for name in _LIBRARIES}
    missing = [name for name, version in versions.items() if not version]
    yield Finding("libraries", "ok", ", ".join(f"{name} {version}" for name, version in versions.items() if version))
    if missing:
        yield Finding("libraries", "problem", f"Not installed: {', '.join(missing)}.", 'Install again: pip install "napari-segtool[pyqt5]".')
    bindings = [f"{name} {version}" for name in _QT if (version := _version(name))]
    if not bindings:
        yield Finding("Qt", "warning", "No Qt is installed: the window cannot open; the command line works.", 'pip install "napari-segtool[pyqt5]"')
    else:
        yield Finding("Qt", "ok" if len(bindings) == 1 else "note", ", ".join(bindings), "" if len(bindings) == 1 else "QT_API=pyqt5 or pyqt6 chooses one.")
    yield from _machine()
    try:
        settings = read_settings()
    except SegtoolError as error:
        yield Finding("settings", "problem", error.message, error.hint)
        return
    where = settings_path() if settings_path().is_file() else "defaults"
    values = ", ".join(f"{name} {value}" for name, value in settings.model_dump().items() if value != "")
    yield Finding("settings", "ok", f"{values} (from {where}); networks use {worker_threads(settings)} core(s).")


def _machine() -> Iterator[Finding]:
    from napari_segtool.io._memory import available_bytes, size_text

    yield Finding("processor", "ok", f"{os.cpu_count()} cores")
    free = available_bytes()
    few = free < _LITTLE_MEMORY_GIB * 2**30
    yield Finding("memory", "warning" if few else "ok", f"{size_text(free)} free", "Close other programs before training." if few else "")


def _devices() -> Iterator[Finding]:
    """What networks can run on; the only place here that loads torch."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch needs is missing
        yield Finding("GPU", "problem", f"torch cannot be loaded: {error}.", "Install torch again, see pytorch.org.")
        return
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            yield Finding("GPU", "ok", f"cuda:{index} is {facts.name} with {facts.total_memory / 2**30:.1f} GiB.")
    elif torch.backends.mps.is_available():
        yield Finding("GPU", "ok", "mps (Apple) can be used.")
    else:
        yield Finding("GPU", "note", "No GPU that torch can use: networks run on the processor.", "Training is slower; give it more minutes, or fewer slices.")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _summary(path: Path, stack: Stack) -> Finding:
    from napari_segtool.io._memory import size_text

    size = math.prod(stack.shape) * np.dtype(stack.data.dtype).itemsize
    spacing = " × ".join(f"{value:g}" for value in stack.spacing_um)
    spaced = f"spacing {spacing} µm ({stack.spatial})" if spacing else "spacing unknown"
    mapped = ", read from disk piece by piece" if isinstance(stack.data, np.memmap) else ""
    return Finding(path.name, "ok", f"{stack.axes}, {' × '.join(map(str, stack.shape))}, {stack.data.dtype}, {spaced}, {size_text(size)}{mapped}")


def _description(path: Path) -> Iterator[Finding]:
    """What the file or folder says about itself beyond one image."""
    from napari_segtool.io._formats import readable_kind
    from napari_segtool.io._pictures import picture_files
    from napari_segtool.io.tiff import tiff_facts

    if path.is_dir():
        yield from _gaps(path, [picture.stem for picture in picture_files(path)])
        return
    if readable_kind(path) != "tiff":
        return
    facts = tiff_facts(path)
    if len(facts.series) > 1:
        others = ", ".join("×".join(map(str, shape)) for shape in facts.series[1:4])
        yield Finding(
            path.name,
            "warning",
            f"It holds {len(facts.series)} images; only the first ({'×'.join(map(str, facts.series[0]))}) is read. The others: {others}.",
            "To work on another, open the file in Fiji and save that image alone.",
        )
    if facts.levels > 1:
        yield Finding(path.name, "note", f"It is a pyramid of {facts.levels} resolutions; the finest is read.")
    found = facts.calibration.found_um
    lacking = [axis for axis in facts.axes if axis in SPATIAL and axis not in found]
    if found and lacking:
        known = ", ".join(f"{axis} {size:g} µm" for axis, size in found.items())
        example = ",".join(f"{found[axis]:g}" if axis in found else "0.05" for axis in facts.axes if axis in SPATIAL)
        yield Finding(
            path.name,
            "warning",
            f"{facts.calibration.source} gives the size of a pixel ({known}) but not along {', '.join(lacking)}, so none is used.",
            f"Give all of them, for example --spacing {example}.",
        )
    if facts.record and facts.record.history:
        yield Finding(path.name, "note", f"Made by napari-segtool: {', then '.join(step.name for step in facts.record.history)}.")


def _gaps(folder: Path, names: list[str]) -> Iterator[Finding]:
    """Numbers missing from a folder of numbered pictures."""
    ends = [re.search(r"(\d+)\D*$", name) for name in names]
    numbers = sorted({int(match[1]) for match in ends if match})
    if len(numbers) == len(names) and len(numbers) > 1 and numbers[-1] - numbers[0] + 1 != len(numbers):
        there = set(numbers)
        missing = [number for number in range(numbers[0], min(numbers[-1], numbers[0] + 100_000)) if number not in there]
        shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        yield Finding(folder.name, "warning", f"{len(missing)} number(s) are missing between {numbers[0]} and {numbers[-1]}: {shown}.", "Is a slice lost?")


def _meaning(path: Path, stack: Stack) -> Iterator[Finding]:
    pages = [axis for axis in stack.axes if axis in PAGES]
    if pages:
        count = stack.shape[stack.axes.index(pages[0])]
        as_volume, as_film = (stack.axes.replace(pages[0], letter) for letter in "ZT")
        yield Finding(
            path.name,
            "warning",
            f"It has {count} pages of unknown meaning (axes {stack.axes}).",
            f"If they are sections of a volume, give --axes {as_volume}; if they are times, --axes {as_film}.",
        )
    if not stack.spacing_um:
        spatial = stack.spatial if not pages else "ZYX"
        yield Finding(
            path.name,
            "warning",
            "The size of a pixel is unknown, so distances count in pixels.",
            f"Give it in µm, for example --spacing {','.join(['0.05', '0.004', '0.004'][-len(spatial) :])}.",
        )


def _values(path: Path, stack: Stack) -> Iterator[Finding]:
    facts = _Values(stack)
    if facts.broken:
        share = 100 * facts.broken / facts.count
        yield Finding(
            path.name, "warning", f"{facts.broken} values ({share:.2g} %) are not numbers or infinite.", "Replace them, for example by 0, before segmenting."
        )
    if facts.low > facts.high:
        yield Finding(path.name, "problem", "No value is a number: there is nothing to see.", "Look at how the file was made.")
        return
    yield Finding(path.name, "ok", f"values from {facts.low:g} to {facts.high:g}")
    dtype = np.dtype(stack.data.dtype)
    if facts.low == facts.high:
        yield Finding(path.name, "warning", f"Every pixel is {facts.low:g}: there is nothing to segment.", "Is it the right file?")
    elif dtype.kind in "iu" and facts.few and len(facts.few) <= _FEW_VALUES:
        listed = ", ".join(f"{value:g}" for value in sorted(facts.few))
        yield Finding(path.name, "note", f"It holds only the values {listed}: labels or a mask rather than an image.")
    elif dtype.kind in "iu" and dtype.itemsize == 2 and facts.high - facts.low < 1024:
        yield Finding(
            path.name,
            "note",
            f"It uses {int(facts.high - facts.low) + 1} of 65536 grey values, so it may look black or flat.",
            "Reset the contrast limits of the layer; methods and networks scale it themselves.",
        )
    if facts.grey_as_colour:
        yield Finding(
            path.name, "note", "Its three colours are equal: a grey image stored as RGB.", "In Fiji, Image > Type > 8-bit makes it a third of the size."
        )


class _Values:
    """Range, broken values and distinct values of a stack, read slab by slab."""

    def __init__(self, stack: Stack) -> None:
        self.count, self.broken = math.prod(stack.shape), 0
        self.low, self.high = math.inf, -math.inf
        self.few: set[float] = set()
        samples = stack.shape[stack.channel_axis] if "S" in stack.axes else 0
        self.grey_as_colour = samples in (3, 4)
        colour_axis = stack.axes.find("S")
        for slab in _slabs(stack):
            self._add(slab)
            if self.grey_as_colour:
                red, green, blue = (slab.take(index, axis=colour_axis) for index in range(3))
                self.grey_as_colour = bool((red == green).all() and (green == blue).all())

    def _add(self, slab: np.ndarray[Any, Any]) -> None:
        if slab.dtype.kind == "f":
            sound = np.isfinite(slab)
            self.broken += int(slab.size - np.count_nonzero(sound))
            slab = slab[sound]
        if not slab.size:
            return
        self.low, self.high = min(self.low, float(slab.min())), max(self.high, float(slab.max()))
        if len(self.few) <= _FEW_VALUES and slab.dtype.kind in "iub":
            # a sample settles most images without sorting every pixel
            self.few |= set(np.unique(slab.ravel()[:: max(1, slab.size // 4096)]).tolist())
            if len(self.few) <= _FEW_VALUES:
                self.few |= set(np.unique(slab).tolist())


def _slabs(stack: Stack) -> Iterator[np.ndarray[Any, Any]]:
    """The data as slabs of all axes, small enough to hold."""
    if len(stack.shape) == 2 or stack.axes[0] in "YXS":
        yield np.asarray(stack.data)
        return
    for index in range(stack.shape[0]):
        yield np.asarray(stack.data[index : index + 1])
