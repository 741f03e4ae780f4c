"""The U-Net learner: a network trained on paint or dense labels, on the local GPU or CPU."""

from __future__ import annotations

from typing import Literal

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.training._plan import Plan
from napari_segtool.training.runs._run import Run


class UNetLearnerParams(Params):
    """Every setting of training a U-Net. What is ``auto`` (or the smallest number) is chosen from the images, labels and machine, and explained."""

    dimensions: Literal["auto", "2-D", "2.5-D", "3-D"] = param(
        "auto", "What the network sees: one plane, a plane with its neighbours as further channels, or a volume; auto looks at how alike sections are."
    )
    base_channels: int = param(32, "Size of the network: feature channels at full resolution. Half is about twice as quick.", ge=2, le=128)
    resolution: Literal["auto", "full", "half", "quarter"] = param(
        "auto", "Resolution the network works at. Lower is quicker and sees more around; auto looks at how large the objects in dense labels are."
    )
    augmentation: Literal["auto", "none", "light", "normal", "strong"] = param(
        "auto",
        "How much the patches are varied (rotation, scale, bending, brightness); auto is strong for paint, where little is labelled, else normal. Levers that "
        "are set away from their defaults act as they are, also with none.",
    )
    modality: Literal["auto", "general", "em", "ultrasound", "light"] = param(
        "auto", "Which variations of grey values: general, or those of an instrument as well (lost sections, shadows, …); auto looks at the grey values."
    )

    network: Literal["auto", "unet", "unet-efficientnet", "unet2015"] = param(
        "auto",
        "Today's U-Net, one whose encoder has learned to see on ImageNet, or the one of 2015 as it was published; auto takes the second for masks on "
        "images with an up and down, like ultrasound.",
        advanced=True,
    )
    patch_px: int = param(
        0, "Height and width of the patches it learns from, at the resolution it works at; 0 chooses.", unit="px", ge=0, le=2048, advanced=True
    )
    patch_planes: int = param(0, "3-D only: sections in a patch; 0 chooses.", ge=0, le=512, advanced=True)
    batch: int = param(0, "Patches in one training step; 0 chooses by the memory that is free.", ge=0, le=256, advanced=True)
    accumulate: int = param(1, "Batches whose gradients make one step: a larger batch without more memory.", ge=1, le=64, advanced=True)
    neighbours: int = param(1, "2.5-D only: sections seen on each side.", ge=1, le=8, advanced=True)
    depth: int = param(0, "Number of times the picture is halved; 0 chooses by the size of the patch.", ge=0, le=7, advanced=True)
    z_factors: str = param("auto", "3-D only: pooling along Z at each level, for example 1,1,2,2; auto looks at the spacing.", advanced=True)
    normalisation: Literal["auto", "batch", "instance", "group", "none"] = param(
        "auto", "What keeps features on one scale; auto is batch for planes and instance for volumes, of which few fit into a batch.", advanced=True
    )
    activation: Literal["relu", "leaky-relu", "elu", "gelu"] = param("relu", "What bends the features.", advanced=True)
    residual: bool = param(False, "Each block adds its input to its result, which helps deep networks to learn.", advanced=True)
    deep_supervision: bool = param(False, "While training, coarser levels must tell the classes too.", advanced=True)
    dropout: float = param(
        -1.0,
        "Share of features dropped in the deepest blocks while training; -1: 0.3 for paint and for images with an up and down, none for other masks.",
        ge=-1,
        le=0.9,
        advanced=True,
    )
    initialisation: Literal["auto", "gaussian", "kaiming", "orthogonal", "imagenet", "em"] = param(
        "auto",
        "Weights to begin with: Gaussian is √(2/N), imagenet are published ones for the encoder that has some, em know electron microscopy from sections "
        "made by code; auto takes what suits.",
        advanced=True,
    )

    retain: float = param(
        -1.0,
        "Weights for electron microscopy only: how strongly the network is held to what those weights see in every pixel, labelled or not; -1: 1 for paint, "
        "none for masks.",
        ge=-1,
        le=100,
        advanced=True,
    )

    loss: str = param(
        "auto",
        "What is made small: names of losses with weights, such as cross-entropy + 0.5*dice. auto: cross-entropy for paint, where Dice makes the network "
        "too sure of itself; that sum for masks.",
        advanced=True,
    )
    class_balance: float = param(0.5, "How much rare classes count: 0 by their pixels, 1 all alike.", ge=0, le=1, advanced=True)
    border_weight: float = param(
        -1.0, "How much more pixels in narrow gaps between objects count (10 as published); 0 none, -1 looks at the gaps.", ge=-1, le=100, advanced=True
    )
    border_sigma_px: float = param(5.0, "Width of a narrow gap.", unit="px", ge=0.5, le=100, advanced=True)

    optimiser: Literal["auto", "muon", "adamw", "adam", "sgd"] = param(
        "auto", "How the weights follow the gradient; auto is muon, which needs fewer steps, or adamw for paint and pretrained weights.", advanced=True
    )
    learning_rate: float = param(0.001, "Largest step of the optimiser.", ge=0.000001, le=1, advanced=True)
    momentum: float = param(0.99, "SGD only: how much of the last step is kept.", ge=0, le=0.999, advanced=True)
    nesterov: bool = param(True, "SGD only: look ahead along the momentum.", advanced=True)
    weight_decay: float = param(0.0001, "Pull of the weights towards zero.", ge=0, le=1, advanced=True)
    schedule: Literal["cosine", "step", "polynomial", "one-cycle", "constant"] = param("cosine", "How the learning rate falls over the budget.", advanced=True)
    warm_up: float = param(0.03, "Share of the budget over which the learning rate rises.", ge=0, le=0.5, advanced=True)
    gradient_limit: float = param(5.0, "Longest gradient of a step; longer ones are shortened; 0 leaves them.", ge=0, le=1000, advanced=True)
    average_steps: int = param(100, "The kept weights are an average over about this many steps; 0 keeps the latest.", ge=0, le=10000, advanced=True)
    metric: Literal["dice", "iou", "loss"] = param("dice", "Score on held-out pixels that says which weights are kept.", advanced=True)
    patience_steps: int = param(
        0, "Training ends when that score has not improved for so many steps; 0 uses the whole budget.", ge=0, le=1000000, advanced=True
    )

    turn: Literal["auto", "any", "upright"] = param(
        "auto", "Whether objects may lie any way round (any), or images have an up and down like ultrasound (upright); auto looks at the images.", advanced=True
    )
    flips: Literal["auto", "all", "sides", "none"] = param(
        "auto",
        "Which way patches are mirrored, each half of the time: all (left and right, up and down, and sections of volumes), sides (not up and down) or "
        "none; auto is sides where images have an up and down, else all.",
        advanced=True,
    )
    rotation_deg: float = param(180.0, "Largest rotation of a patch; 15° at most where images have an up and down.", unit="°", ge=0, le=180, advanced=True)
    tilt_deg: float = param(0.0, "3-D only: largest rotation out of the plane.", unit="°", ge=0, le=90, advanced=True)
    scale: float = param(0.2, "Largest change of size: 0.2 is up to 20 % larger or smaller. Left at 0.2, augmentation scales it.", ge=0, le=1, advanced=True)
    shear_deg: float = param(0.0, "Largest slant.", unit="°", ge=0, le=45, advanced=True)
    shift: float = param(0.0, "Largest shift, as a share of the patch, beyond the free choice of its place.", ge=0, le=0.5, advanced=True)
    elastic_px: float = param(
        4.0,
        "Strength of random bending, with a point every 32 pixels, at the resolution it works at. Left at 4, augmentation scales it.",
        unit="px",
        ge=0,
        le=50,
        advanced=True,
    )
    elastic_sigma_px: float = param(
        0.0,
        "Strength of bending as published: Gaussian shifts of a coarse grid (10 px there), at the resolution it works at.",
        unit="px",
        ge=0,
        le=50,
        advanced=True,
    )
    elastic_grid: int = param(3, "Points of that grid along each side.", ge=2, le=16, advanced=True)
    effects: str = param(
        "auto",
        "What changes grey values: auto are the effects of the modality; none; a modality; or names with strengths, such as contrast + 0.5*noise + "
        "missing-section(probability=0.1), in this order and as strong as written, whatever augmentation says.",
        advanced=True,
    )
    intensity: float = param(
        1.0, "What the strengths of all effects are multiplied by. Left at 1, augmentation scales those of a modality.", ge=0, le=3, advanced=True
    )
    grey_values: Literal["auto", "plane", "fixed"] = param(
        "auto",
        "plane: each plane is scaled by itself, so bit depth and exposure do not matter; fixed: grey values mean the same everywhere; "
        "auto takes fixed where some planes are empty.",
        advanced=True,
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = param(
        "auto", "Number format; auto takes bfloat16 where it is clearly faster; float16 needs CUDA.", advanced=True
    )
    mirror: bool = param(
        True,
        "Predictions are averaged over mirrored and turned images: eight times the work, fewer gaps; only left and right where images have an up and down.",
        advanced=True,
    )


@LEARNERS.register(
    "unet",
    title="U-Net",
    summary="A convolutional network; the best choice where shape and texture matter and a few minutes are there.",
    params=UNetLearnerParams,
    family="networks",
    reference="Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; self-configuration after Isensee et al. 2021, doi:10.1038/s41592-020-01008-z",
)
def train_unet(run: Run) -> Steps[ModelBundle]:
    """Train a U-Net on a run; what is left on auto is chosen and explained first. See `training.engine._fit.fit_steps`."""
    from napari_segtool.training.configure._planning import settle, tell
    from napari_segtool.training.engine._fit import fit_steps

    proposal, plan = settle(run)
    tell(run, proposal)
    return (yield from fit_steps(run, plan))


def plan_unet(run: Run) -> Plan:
    """Return the engine's plan for a run, with everything that is left open chosen from its data.

    Raises
    ------
    ParameterError
        If settings do not go together, or with the images.
    """
    from napari_segtool.training.configure._planning import settle

    return settle(run)[1]
