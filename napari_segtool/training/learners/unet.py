"""The U-Net learner: a network trained on paint or dense labels, on the local GPU or CPU."""

from __future__ import annotations

from typing import Any, Literal

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.training._augment import Augmentation
from napari_segtool.training._plan import LossTerm, Plan
from napari_segtool.training._run import Run


class UNetLearnerParams(Params):
    """Every setting of training a U-Net."""

    dimensions: Literal["2-D", "3-D"] = param("2-D", "Whether the network sees one plane at a time or a volume.")
    base_channels: int = param(32, "Size of the network: feature channels at full resolution. Half is about twice as quick.", ge=2, le=128)
    patch_px: int = param(256, "Height and width of the patches it learns from, at the resolution it works at.", unit="px", ge=32, le=2048, advanced=True)
    resolution: Literal["auto", "full", "half", "quarter"] = param(
        "auto", "Resolution the network works at. Lower is quicker and sees more around; auto looks at how large the objects in dense labels are."
    )
    augmentation: Literal["auto", "none", "light", "normal", "strong"] = param(
        "auto", "How much the patches are varied (rotation, scale, bending, brightness); auto is strong for paint, where little is labelled, else normal."
    )
    batch: int = param(4, "Patches in one training step.", ge=1, le=256, advanced=True)
    depth: int = param(4, "Number of times the picture is halved.", ge=1, le=7, advanced=True)
    patch_planes: int = param(16, "3-D only: sections in a patch.", ge=1, le=512, advanced=True)
    z_factors: str = param("auto", "3-D only: pooling along Z at each level, for example 1,1,2,2; auto looks at the spacing.", advanced=True)
    normalisation: Literal["batch", "instance", "group", "none"] = param("batch", "What keeps features on one scale.", advanced=True)
    dropout: float = param(
        -1.0, "Share of features dropped in the deepest blocks while training; -1: 0.3 for paint, none for masks.", ge=-1, le=0.9, advanced=True
    )
    learning_rate: float = param(0.001, "Largest step of the optimiser.", ge=0.000001, le=0.1, advanced=True)
    weight_decay: float = param(0.0001, "Pull of the weights towards zero.", ge=0, le=1, advanced=True)
    schedule: Literal["cosine", "step"] = param("cosine", "How the learning rate falls over the budget.", advanced=True)
    average_steps: int = param(100, "The kept weights are an average over about this many steps; 0 keeps the latest.", ge=0, le=10000, advanced=True)
    class_balance: float = param(0.5, "How much rare classes count: 0 by their pixels, 1 all alike.", ge=0, le=1, advanced=True)
    loss: Literal["auto", "cross-entropy", "cross-entropy and Dice"] = param(
        "auto", "What is made small. auto: cross-entropy for paint, where Dice makes the network too sure of itself; both for masks.", advanced=True
    )
    dice_weight: float = param(0.5, "Weight of the Dice loss beside the cross-entropy.", ge=0, le=10, advanced=True)
    turn: Literal["auto", "any", "upright"] = param(
        "auto", "Whether objects may lie any way round (any), or images have an up and down like ultrasound (upright); auto looks at the images.", advanced=True
    )
    rotation_deg: float = param(180.0, "Largest rotation of a patch.", unit="°", ge=0, le=180, advanced=True)
    scale: float = param(0.2, "Largest change of size: 0.2 is up to 20 % larger or smaller.", ge=0, le=1, advanced=True)
    elastic_px: float = param(4.0, "Strength of random bending.", unit="px", ge=0, le=50, advanced=True)
    intensity: float = param(1.0, "Strength of random changes of brightness, contrast, gamma, noise and blur.", ge=0, le=3, advanced=True)
    grey_values: Literal["plane", "fixed"] = param(
        "plane", "plane: each plane is scaled by itself, so bit depth and exposure do not matter; fixed: grey values mean the same everywhere.", advanced=True
    )
    precision: Literal["auto", "float32", "bfloat16"] = param("auto", "Number format; auto takes bfloat16 where it is clearly faster.", advanced=True)
    mirror: bool = param(
        True,
        "Predictions are averaged over mirrored and turned images: eight times the work, fewer gaps in membranes; never for images with an up and down.",
        advanced=True,
    )


_LEAST_RADIUS_PX = 10.0
_DROPOUT_PAINT = 0.3
_DOUBT_PAINT, _DOUBT_MASK = 0.05, 0.01
"""Differences of Dice that say nothing: a few held-out strokes judge far less surely than whole slices, and early weights that suit them by chance are poor."""
_STRENGTH = {"none": 0.0, "light": 0.5, "normal": 1.0, "strong": 1.6}


@LEARNERS.register(
    "unet",
    title="U-Net",
    summary="A convolutional network; the best choice where shape and texture matter and a few minutes are there.",
    params=UNetLearnerParams,
    family="networks",
    reference="Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28",
)
def train_unet(run: Run) -> Steps[ModelBundle]:
    """Train a U-Net on a run; see `training._fit.fit_steps`."""
    from napari_segtool.training._fit import fit_steps

    return (yield from fit_steps(run, plan_unet(run)))


def plan_unet(run: Run) -> Plan:
    """Turn the learner's parameters into the engine's plan.

    Raises
    ------
    ParameterError
        If the patch is too small for the network, or 3-D is asked for and an image has no sections.
    """
    params = run.params
    assert isinstance(params, UNetLearnerParams)
    painted = run.config["labels_are"] == "paint"
    spatial = 2 if params.dimensions == "2-D" else 3
    if spatial == 3 and any(not record.counts for record in run.stored):
        raise ParameterError("A 3-D network needs volumes, but an image here is a single picture.", hint="Say --set dimensions=2-D.")
    factors = _z_factors(run, params) if spatial == 3 else ""
    depth_multiple = 2 ** factors.count("2") if spatial == 3 else 1
    reduction = _reduction(run, params)
    multiple = 2**params.depth
    if params.patch_px < 2 * multiple:
        raise ParameterError(
            f"Patches of {params.patch_px} px are too small for {params.depth} levels.", hint=f"Take at least {2 * multiple} px, or fewer levels."
        )
    largest = max(record.shape[record.axes.index(letter)] for record in run.stored for letter in "YX")
    side = reduction * multiple * -(-min(params.patch_px * reduction, max(largest, 2 * multiple * reduction)) // (multiple * reduction))
    planes = -(-params.patch_planes // depth_multiple) * depth_multiple if spatial == 3 else 1
    augmentation = _augmentation(run, params, reduction)
    with_dice = params.loss == "cross-entropy and Dice" or (params.loss == "auto" and not painted)
    return Plan(
        network="unet",
        network_params={
            "base_channels": params.base_channels,
            "depth": params.depth,
            "normalisation": params.normalisation,
            "dropout": params.dropout if params.dropout >= 0 else _DROPOUT_PAINT if painted else 0.0,
            "reduction": reduction,
            **({"z_factors": factors} if spatial == 3 else {}),
        },
        spatial=spatial,
        patch_px=(planes, side, side),
        batch=params.batch,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        schedule=params.schedule,
        average_steps=params.average_steps,
        class_balance=params.class_balance,
        loss=(LossTerm("cross-entropy"), LossTerm("dice", params.dice_weight)) if with_dice and params.dice_weight else (LossTerm("cross-entropy"),),
        keep_within=_DOUBT_PAINT if painted else _DOUBT_MASK,
        normalisation=params.grey_values,
        precision=params.precision,
        augmentation=augmentation,
        mirror=params.mirror and augmentation.flip_y,
    )


def _reduction(run: Run, params: UNetLearnerParams) -> int:
    """How many times smaller the picture is that the network works on: thin objects must stay several pixels thick."""
    if params.resolution != "auto":
        return {"full": 1, "half": 2, "quarter": 4}[params.resolution]
    from napari_segtool.training._survey import object_radius_px

    radius = object_radius_px(run)
    return 4 if radius >= 4 * _LEAST_RADIUS_PX else 2 if radius >= 2 * _LEAST_RADIUS_PX else 1


def _augmentation(run: Run, params: UNetLearnerParams, reduction: int) -> Augmentation:
    chosen = params.augmentation if params.augmentation != "auto" else "strong" if run.config["labels_are"] == "paint" else "normal"
    strength = _STRENGTH[chosen]
    if not strength:
        return Augmentation(False, False, False, 0.0, 0.0, 0.0, 0.0)
    upright = params.turn == "upright" or (params.turn == "auto" and _has_up(run))
    return Augmentation(
        flip_x=True,
        flip_y=not upright,
        flip_z=True,
        rotation_deg=min(params.rotation_deg, 15.0 * strength) if upright else params.rotation_deg,
        scale=params.scale * strength,
        elastic_px=params.elastic_px * strength * reduction,
        intensity=params.intensity * strength,
    )


def _has_up(run: Run) -> bool:
    from napari_segtool.training._survey import has_up_and_down

    return has_up_and_down(run)


def _z_factors(run: Run, params: UNetLearnerParams) -> str:
    """Pool along Z from the level on at which planes lie no farther apart than pixels."""
    if params.z_factors != "auto":
        return params.z_factors
    record: Any = run.stored[0]
    spacing = record.spacing_um
    ratio = spacing[0] / min(spacing[1:]) if len(spacing) == 3 else 1.0
    planes = min(stored.counts[-1] for stored in run.stored)
    factors, pixel, left = [], 1.0, min(planes, params.patch_planes)
    for _ in range(params.depth):
        pool = ratio <= 1.5 * pixel and left >= 4
        factors.append("2" if pool else "1")
        pixel *= 2
        if pool:
            ratio, left = ratio * 2, left // 2
    return ",".join(factors)
