"""The U-Net of 2015, trained exactly as it was published: for comparison and teaching."""

from __future__ import annotations

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.terms import Term
from napari_segtool.training._plan import Plan
from napari_segtool.training.augment._text import parse_effects
from napari_segtool.training.data._augment import Augmentation
from napari_segtool.training.runs._run import Run

_OUTPUT_PX, _RIM_PX = 388, 92
"""A tile of 572 px is seen, of which 388 are learned from."""


class UNet2015LearnerParams(Params):
    """What was published, and what was left open: the learning rate."""

    learning_rate: float = param(0.001, "Size of a step, which the paper does not say; with a momentum of 0.99 it acts a hundredfold.", ge=0.000001, le=1)
    base_channels: int = param(64, "Feature channels at full resolution; published: 64. Half is about four times as quick.", ge=2, le=128)
    border_weight: float = param(10.0, "w₀: how much more pixels between touching cells count.", ge=0, le=100, advanced=True)
    border_sigma_px: float = param(5.0, "σ of that weight.", unit="px", ge=0.5, le=100, advanced=True)
    momentum: float = param(0.99, "How much of the last step is kept.", ge=0, le=0.999, advanced=True)
    dropout: float = param(0.5, "Share of features dropped at the end of the contracting path.", ge=0, le=0.9, advanced=True)
    elastic_sigma_px: float = param(10.0, "Deviation of the random shifts of a coarse grid.", unit="px", ge=0, le=50, advanced=True)
    elastic_grid: int = param(3, "Points of that grid along each side.", ge=2, le=16, advanced=True)
    effects: str = param(
        "auto",
        "What changes grey values: auto are the general effects; none; a modality (em); or names with strengths, such as contrast + 0.5*noise, in this order.",
        advanced=True,
    )
    intensity: float = param(1.0, "What the strengths of all effects are multiplied by.", ge=0, le=3, advanced=True)
    mirror: bool = param(True, "Predictions are averaged over mirrored and turned images; the paper turned them seven times.", advanced=True)


@LEARNERS.register(
    "unet2015",
    title="U-Net of 2015",
    summary="The U-Net trained as published: one large tile at a time, SGD, border weight map, elastic deformation; slow, for comparison.",
    params=UNet2015LearnerParams,
    family="networks",
    dimensions=(2,),
    reference="Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28",
)
def train_unet2015(run: Run) -> Steps[ModelBundle]:
    """Train the U-Net of 2015 on a run; see `training.engine._fit.fit_steps`."""
    from napari_segtool.training.configure._planning import settle, tell
    from napari_segtool.training.engine._fit import fit_steps

    proposal, plan = settle(run)
    tell(run, proposal)
    return (yield from fit_steps(run, plan))


def plan_as_published(params: UNet2015LearnerParams) -> Plan:
    """Return the plan of the paper.

    Softmax cross-entropy weighed by class frequency and the border map, SGD with momentum 0.99 and batches of one tile, weights from a Gaussian of
    deviation √(2/N), elastic deformations by a 3 × 3 grid with σ = 10 px, any rotation, changes of grey values. Of a tile of 572 × 572 pixels the
    388 × 388 are learned from that the unpadded convolutions leave; beyond the image's edge it is mirrored.
    """
    return Plan(
        network="unet2015",
        network_params={"base_channels": params.base_channels, "dropout": params.dropout},
        patch_px=(1, _OUTPUT_PX, _OUTPUT_PX),
        batch=1,
        learning_rate=params.learning_rate,
        weight_decay=0.0,
        optimiser="sgd",
        momentum=params.momentum,
        nesterov=False,
        initialisation="gaussian",
        schedule="constant",
        warm_up=0.0,
        gradient_limit=0.0,
        average_steps=0,
        loss=(Term("cross-entropy"),),
        class_balance=1.0,
        rim_px=_RIM_PX,
        border_weight=params.border_weight,
        border_sigma_px=params.border_sigma_px,
        augmentation=Augmentation(
            scale=0.0,
            elastic_px=0.0,
            elastic_sigma_px=params.elastic_sigma_px,
            elastic_grid=params.elastic_grid,
            intensity=params.intensity,
            effects=parse_effects(params.effects),
        ),
        mirror=params.mirror,
    )
