"""Self-configuration: every setting that is left open is chosen from what the data and the machine are, with one sentence why.

In the spirit of nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z): fixed settings that were measured to be good, rules for what depends on
shapes, spacing and labels, and memory as the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_segtool.training.configure import _network_rules as network_rules
from napari_segtool.training.configure import _training_rules as training_rules
from napari_segtool.training.configure._chooser import Choice, Chooser, Machine
from napari_segtool.training.configure._proposal import Reason
from napari_segtool.training.survey._survey import Survey

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams


def configure(params: UNetLearnerParams, found: Survey, machine: Machine, *, going_on: bool = False) -> tuple[UNetLearnerParams, tuple[Reason, ...]]:
    """Choose what is left open, memory aside.

    Parameters
    ----------
    params
        As the user set them; what is not on auto stays.
    found
        From `survey`.
    machine
        Of the training.
    going_on
        Whether it begins with the weights of a model.

    Returns
    -------
    params, reasons
        Parameters with nothing on auto but what follows from others (``effects``, ``flips``) or from the hardware (``precision``), and why, in the
        order of the choices.
    """
    chooser = Chooser(params, found, machine, going_on)
    for name, is_open, choose in _RULES:
        chooser.decide(name, is_open, choose)
    return chooser.params, tuple(chooser.reasons)


def _auto(value: Any) -> bool:
    return bool(value == "auto")


def _zero(value: Any) -> bool:
    return bool(value == 0)


def _negative(value: Any) -> bool:
    return bool(value < 0)


_RULES: tuple[tuple[str, Callable[[Any], bool], Callable[[Chooser], Choice]], ...] = (
    ("dimensions", _auto, network_rules.dimensions),
    ("network", _auto, network_rules.network),
    ("initialisation", _auto, network_rules.pretrained_encoder),
    ("resolution", _auto, network_rules.resolution),
    ("patch_px", _zero, network_rules.patch_px),
    ("patch_planes", _zero, network_rules.patch_planes),
    ("depth", _zero, network_rules.depth),
    ("z_factors", _auto, network_rules.z_factors),
    ("batch", _zero, network_rules.batch),
    ("normalisation", _auto, network_rules.normalisation),
    ("initialisation", _auto, network_rules.initialisation),
    ("retain", _negative, network_rules.retain),
    ("dropout", _negative, network_rules.dropout),
    ("effects", _auto, training_rules.effects),
    ("modality", _auto, training_rules.modality),
    ("augmentation", _auto, training_rules.augmentation),
    ("turn", _auto, training_rules.turn),
    ("grey_values", _auto, training_rules.grey_values),
    ("optimiser", _auto, training_rules.optimiser),
    ("loss", _auto, training_rules.loss),
    ("border_weight", _negative, training_rules.border_weight),
)
