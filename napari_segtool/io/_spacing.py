"""What a TIFF says about the size of its pixels, in whatever dialect it says it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_segtool.core.stack import SPATIAL

_UNITS_UM = {
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 1e4),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6),
    **dict.fromkeys(("a", "å", "angstrom", "angstroms", "ångström"), 1e-4),
    **dict.fromkeys(("pm", "picometer", "picometers", "picometre", "picometres"), 1e-6),
    **dict.fromkeys(("in", "inch", "inches"), 25400.0),
}
_PRINT_DPI = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 250, 300, 350, 360, 400, 600, 720, 800, 1200, 2400, 4800)
_RESOLUTION_UNITS_UM = {2: 25400.0, 3: 10000.0}
_SMALLEST_UM, _LARGEST_UM = 1e-7, 1e7
_DM_UNITS, _DM_SCALES = (65003, 65004, 65005), (65009, 65010, 65011)


@dataclass(frozen=True)
class Calibration:
    """Sizes of a sample that a file states.

    Parameters
    ----------
    found_um
        Size along those of Z, Y and X that are stated, in µm.
    source
        Who states it ("ImageJ", "OME", "FEI", …); empty where nothing is stated.
    """

    found_um: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def spacing(self, axes: str) -> tuple[float, ...]:
        """Return the spacing for ``axes``, or ``()`` unless every spatial axis is known: none is made up.

        Examples
        --------
        >>> Calibration({"Y": 0.004, "X": 0.004}, "FEI").spacing("ZYX")
        ()
        """
        spatial = [axis for axis in axes if axis in SPATIAL]
        return tuple(self.found_um[axis] for axis in spatial) if all(axis in self.found_um for axis in spatial) else ()


def unit_um(unit: object) -> float:
    """Return the length of a unit in µm, 0 where it is no length ("pixel").

    Examples
    --------
    >>> unit_um("nm"), unit_um("\\u00b5m"), unit_um("pixel")
    (0.001, 1.0, 0.0)
    """
    text = str(unit).strip().lower().replace("\\u00b5", "u").replace("âµ", "u").replace("µ", "u").replace("μ", "u")
    return _UNITS_UM.get(text, 0.0)


def calibration_of(tif: Any, series: Any) -> Calibration:
    """Return what an open `tifffile.TiffFile` says about the pixels of ``series``; the first of its dialects that says anything."""
    if tif.is_ome:
        # Bio-Formats writes a resolution of 1 µm into OME files whose XML gives no size, so the XML alone counts.
        return Calibration(_sane(_from_ome(tif, series)), "OME")
    for source, read in _DIALECTS:
        found = _sane(read(tif, series.keyframe))
        if found:
            return Calibration(found, source)
    return Calibration()


def stored_resolution_um(page: Any) -> dict[str, float]:
    """Return the size of a pixel by the resolution tags, be they print resolution or not."""
    unit = _RESOLUTION_UNITS_UM.get(int(_tag(page, "ResolutionUnit") or 0), 0.0)
    return _sane({axis: unit / value for axis, value in _resolution(page).items()})


def _sane(found: Mapping[str, float]) -> dict[str, float]:
    return {axis: size for axis, size in found.items() if math.isfinite(size) and _SMALLEST_UM <= size <= _LARGEST_UM}


def _tag(page: Any, key: str | int) -> Any:
    tag = page.tags.get(key)
    return None if tag is None else tag.value


def _number(value: object) -> float:
    try:
        return abs(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _resolution(page: Any) -> dict[str, float]:
    """Samples per unit along Y and X."""
    found = {}
    for axis in "YX":
        value = _tag(page, f"{axis}Resolution")
        if isinstance(value, tuple) and len(value) == 2 and value[0] and value[1]:
            found[axis] = value[0] / value[1]
    return found


def _from_words(words: Mapping[str, Any], page: Any) -> dict[str, float]:
    """Read ``unit`` and ``spacing`` as ImageJ means them: the resolution tags count samples in that unit."""
    unit = unit_um(words.get("unit", ""))
    per_unit = _resolution(page)
    # ImageJ reads centimetres where the tag says so and the unit says micron.
    lateral = 1e4 if _tag(page, "ResolutionUnit") == 3 and unit == 1.0 else unit
    found = {axis: lateral / value for axis, value in per_unit.items()} if unit else {}
    if "yunit" in words and "Y" in found:
        found["Y"] = unit_um(words["yunit"]) / per_unit["Y"]
    depth = unit_um(words["zunit"]) if "zunit" in words else unit
    if "spacing" in words:
        found["Z"] = _number(words["spacing"]) * depth
    return found


def _from_imagej(tif: Any, page: Any) -> dict[str, float]:
    words = tif.imagej_metadata if tif.is_imagej else None
    return _from_words(words, page) if words else {}


def _from_shaped(tif: Any, page: Any) -> dict[str, float]:
    """Read what Python programs put beside the shape: ``PhysicalSizeX`` with a unit, or ImageJ's words."""
    notes = tif.shaped_metadata if tif.is_shaped else None
    words = notes[0] if notes else {}
    found = {}
    for key, value in words.items():
        match = re.fullmatch(r"PhysicalSize([XYZ])(?:_(\w+))?", key)
        if match:
            found[match[1]] = _number(value) * unit_um(match[2] or words.get(f"{key}Unit", "µm"))
    return found or _from_words(words, page)


def _from_resolution(tif: Any, page: Any) -> dict[str, float]:
    """Read the resolution tags, unless they are a resolution for printing or the default of one sample per unit."""
    unit = int(_tag(page, "ResolutionUnit") or 0)
    per_unit = _resolution(page)
    if unit not in _RESOLUTION_UNITS_UM or any(_for_printing(value, unit) for value in per_unit.values()):
        return {}
    return {axis: _RESOLUTION_UNITS_UM[unit] / value for axis, value in per_unit.items()}


def _for_printing(per_unit: float, unit: int) -> bool:
    """Whole dots per inch, and the usual ones written per centimetre, come from print and screen, not from a microscope."""
    if per_unit <= 1.0:
        return True
    if unit == 2:
        return per_unit <= 4800 and abs(per_unit - round(per_unit)) < 0.02
    tolerance = 0.013 if per_unit == round(per_unit) else 1e-3  # 72 dpi is written 28.35 or, by some, 28 per centimetre
    return any(abs(per_unit * 2.54 / dpi - 1) < tolerance for dpi in _PRINT_DPI)


def _from_fei(tif: Any, page: Any) -> dict[str, float]:
    scan = (tif.fei_metadata or {}).get("Scan", {})
    return {"Y": _number(scan.get("PixelHeight")) * 1e6, "X": _number(scan.get("PixelWidth")) * 1e6}


def _from_zeiss(tif: Any, page: Any) -> dict[str, float]:
    notes = tif.sem_metadata or {}
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = notes.get(key)
        if isinstance(entry, tuple) and len(entry) == 3:
            return dict.fromkeys("YX", _number(entry[1]) * unit_um(entry[2]))
    return {}


def _from_olympus(tif: Any, page: Any) -> dict[str, float]:
    notes = tif.sis_metadata or {}
    return {"Y": _number(notes.get("pixelsizey")) * 1e6, "X": _number(notes.get("pixelsizex")) * 1e6}


def _from_gatan(tif: Any, page: Any) -> dict[str, float]:
    """Read the private tags of DigitalMicrograph: scale and unit of X, Y and the third axis, which may be time."""
    found = {}
    for axis, unit, scale in zip("XYZ", _DM_UNITS, _DM_SCALES, strict=True):
        size = _number(_tag(page, scale)) * unit_um(_tag(page, unit) or "")
        if size > 0:
            found[axis] = size
    return found


def _from_lsm(tif: Any, page: Any) -> dict[str, float]:
    notes = tif.lsm_metadata or {}
    return {axis: _number(notes.get(f"VoxelSize{axis}")) * 1e6 for axis in SPATIAL}


def _from_tvips(tif: Any, page: Any) -> dict[str, float]:
    notes = tif.tvips_metadata or {}
    return {axis: _number(notes.get(f"PixelSize{axis}")) * 1e-3 for axis in "YX"}


def _from_micromanager(tif: Any, page: Any) -> dict[str, float]:
    notes = (tif.micromanager_metadata or {}).get("Summary", {})
    size, step = _number(notes.get("PixelSize_um")), _number(notes.get("z-step_um"))
    return {"Z": step, "Y": size, "X": size}


_DIALECTS = (
    ("ImageJ", _from_imagej),
    ("FEI", _from_fei),
    ("Zeiss", _from_zeiss),
    ("Olympus", _from_olympus),
    ("DigitalMicrograph", _from_gatan),
    ("Zeiss LSM", _from_lsm),
    ("TVIPS", _from_tvips),
    ("Micro-Manager", _from_micromanager),
    ("the file's description", _from_shaped),
    ("the resolution tags", _from_resolution),
)


def _from_ome(tif: Any, series: Any) -> dict[str, float]:
    """Read PhysicalSize of the image whose width and height are those of ``series``."""
    width, height = str(series.keyframe.imagewidth), str(series.keyframe.imagelength)
    for pixels in _ome_pixels(tif):
        if pixels.get("SizeX") == width and pixels.get("SizeY") == height:
            return {
                axis: _number(pixels.get(f"PhysicalSize{axis}")) * unit_um(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
                for axis in SPATIAL
                if pixels.get(f"PhysicalSize{axis}")
            }
    return {}


def _ome_pixels(tif: Any) -> Iterator[Any]:
    with suppress(ElementTree.ParseError, OSError, ValueError):
        root = ElementTree.fromstring(tif.ome_metadata or "<OME/>")
        binary = root.find("{*}BinaryOnly")
        if binary is not None:  # one file of a set whose description lies in a file of its own
            companion = Path(tif.filehandle.dirname) / Path(binary.get("MetadataFile", "")).name
            root = ElementTree.fromstring(companion.read_bytes())
        yield from root.findall("{*}Image/{*}Pixels")
