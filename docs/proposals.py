"""Write into docs/training.md what self-configuration proposes for each real data set, and why: ``python docs/proposals.py``.

The sets lie beside the checkout (``../shared/data``, or ``SEGTOOL_TEST_DATA``) and are never shipped. No time is measured and 16 GB are taken to be free,
so the page does not depend on the machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import napari_segtool as segtool
from napari_segtool.training.configure._chooser import Machine
from napari_segtool.training.configure._configure import configure
from napari_segtool.training.learners.unet import UNetLearnerParams
from napari_segtool.training.survey._evidence import evidence_of_pairs
from napari_segtool.training.survey._survey import survey

DOCS = Path(__file__).parent
DATA = Path(os.environ.get("SEGTOOL_TEST_DATA", DOCS.parents[1] / "shared" / "data"))
BEGIN, END = "<!-- proposals: python docs/proposals.py -->", "<!-- end of proposals -->"
CPU, GPU = Machine("cpu", 16 * 1024), Machine("cuda:0", 24 * 1024)
TOLD = (
    "dimensions",
    "network",
    "initialisation",
    "retain",
    "resolution",
    "patch_px",
    "depth",
    "modality",
    "augmentation",
    "dropout",
    "optimiser",
    "turn",
    "grey_values",
    "loss",
    "border_weight",
)
USUAL = (("network", "unet"), ("patch_px", 256), ("depth", 4), ("grey_values", "plane"), ("augmentation", "normal"), ("dropout", 0.0), ("optimiser", "muon"))
"""What differs from set to set, and what is said of it only where it is unusual."""

Marks = np.ndarray[Any, Any]


def as_they_are(labels: Marks) -> Marks:
    return labels


def apart(labels: Marks) -> Marks:
    """Objects become one class; where two touch, their rims become background, so that they stay two."""
    from skimage.segmentation import find_boundaries

    planes = labels.reshape(-1, *labels.shape[-2:])
    rims = [find_boundaries(plane, mode="inner", background=0) & ~find_boundaries(plane > 0, mode="inner") for plane in planes]
    return ((planes > 0) & ~np.array(rims)).astype(np.uint8).reshape(labels.shape)


def strokes(labels: Marks) -> Marks:
    """Lines across three planes, painted with what is there: 1 … K."""
    paint = np.zeros(labels.shape, np.uint8)
    for plane in np.linspace(0, len(labels) - 1, 3).astype(int):
        paint[plane, 20::128, 10:200] = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)[plane, 20::128, 10:200] + 1
    return paint


def two_strokes(labels: Marks) -> Marks:
    """For a set without labels."""
    paint = np.zeros(labels.shape, np.uint8)
    middle = len(paint) // 2
    paint[middle, 100:104, 200:400], paint[middle, 300:304, 200:400] = 1, 2
    return paint


@dataclass(frozen=True)
class Case:
    title: str
    image: str
    labels: str
    marks: Callable[[Marks], Marks] = as_they_are
    labels_are: Any = "mask"


CASES = (
    Case("Membranes in serial sections", "isbi2012_em/image.tif", "isbi2012_em/labels.tif"),
    Case("The same, painted on three sections", "isbi2012_em/image.tif", "isbi2012_em/labels.tif", strokes, "paint"),
    Case("Mitochondria in serial sections", "vnc_drosophila_sstem/image.tif", "vnc_drosophila_sstem/labels_mitochondria.tif"),
    Case("Nine classes in serial sections", "vnc_drosophila_sstem/image.tif", "vnc_drosophila_sstem/labels_9class.tif"),
    Case("Mitochondria in a FIB-SEM", "epfl_ca1_multiclass/train_image.tif", "epfl_ca1_multiclass/labels_train_mitochondrion.tif"),
    Case("Neurons in an isotropic FIB-SEM volume", "flyem_medulla_fibsem/image.tif", "flyem_medulla_fibsem/labels_neurons.tif", apart),
    Case("Nerve and vessel in ultrasound images", "usgra_nerve_vessel_us/image.tif", "usgra_nerve_vessel_us/labels.tif"),
    Case("An ultrasound sweep with two strokes", "imfusion_liver_us_sweep/image_unlabelled.tif", "", two_strokes, "paint"),
    Case("Touching cells in phase contrast", "usiigaci_phase_cells/image.tif", "usiigaci_phase_cells/labels_instances.tif", apart),
    Case("Nuclei in fluorescence images", "dsb2018_nuclei/image_256.tif", "dsb2018_nuclei/labels_256_instances.tif", apart),
    Case("Nuclei in stained sections, in colour", "dsb2018_nuclei/image_he_rgb.tif", "dsb2018_nuclei/labels_he_rgb_instances.tif", apart),
    Case("Nuclei in a confocal volume", "plantseg_3d_crops/image_nuclei1135.tif", "plantseg_3d_crops/labels_nuclei1135_instances.tif", apart),
    Case("Cells in a confocal volume", "plantseg_3d_crops/image_ovule_membranes.tif", "plantseg_3d_crops/labels_ovule_membranes_instances.tif", apart),
    Case("A film of nuclei", "ctc_timelapse/image_hela_TYX.tif", "ctc_timelapse/labels_auto_hela_TYX.tif", apart),
    Case("A film of bacteria", "ctc_timelapse/image_bacteria_phc_TYX.tif", "ctc_timelapse/labels_bacteria_phc_TYX.tif", apart),
    Case("A film of thin volumes", "ctc_timelapse/image_cho_TZYX.tif", "ctc_timelapse/labels_auto_cho_TZYX.tif", apart),
)


def page() -> Iterator[str]:
    """Yield the part of the guide that lists the proposals, line by line."""
    for case in CASES:
        stack = segtool.read(DATA / case.image)
        given = np.asarray(segtool.read(DATA / case.labels).data) if case.labels else np.zeros(stack.label_shape, np.uint8)
        found = survey(evidence_of_pairs([(stack, case.marks(given))], case.labels_are))
        settled, reasons = configure(UNetLearnerParams(), found, CPU)
        on_gpu, why = configure(UNetLearnerParams(), found, GPU)
        size = " × ".join(str(n) for n in stack.shape)
        spacing = f", {' × '.join(f'{n:.3g}' for n in stack.spacing_um)} µm" if stack.spacing_um else ""
        yield ""
        yield f"**{case.title}** (`{case.image.split('/')[0]}`, {stack.axes} {size}{spacing})"
        yield ""
        told = [reason for reason in reasons if reason.setting in TOLD and (reason.setting, reason.value) not in USUAL]
        yield from (f"- `{reason.setting}` {reason.value}: {reason.why}" for reason in told)
        if on_gpu.dimensions != settled.dimensions:
            other = {reason.setting: reason for reason in why}
            patch = f"patches of {on_gpu.patch_planes} × {on_gpu.patch_px} × {on_gpu.patch_px}, pooled along Z {on_gpu.z_factors}"
            yield f"- on a GPU with 24 GB: `dimensions` {on_gpu.dimensions}, {patch}: {other['dimensions'].why}"


def main() -> None:
    path = DOCS / "training.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    lines = "\n".join(page())
    path.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
