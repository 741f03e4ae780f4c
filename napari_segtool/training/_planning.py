"""From a learner's parameters to the engine's plan: what is open is chosen, memory is looked after, and all of it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from napari_segtool.core.errors import ModelError, ParameterError
from napari_segtool.core.params import Params, describe
from napari_segtool.core.registry import NETWORKS
from napari_segtool.training._augment import STILL, Augmentation
from napari_segtool.training._configure import Machine, changed, configure
from napari_segtool.training._events import EventLog, write_atomically
from napari_segtool.training._evidence import Evidence, evidence_of_run
from napari_segtool.training._folder import as_json, read_json
from napari_segtool.training._loss_text import parse_loss
from napari_segtool.training._plan import Plan
from napari_segtool.training._proposal import Proposal, Reason
from napari_segtool.training._run import Run
from napari_segtool.training._survey import survey
from napari_segtool.training.augment._presets import preset
from napari_segtool.training.losses._combined import head_of

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

PROPOSAL = "proposal.json"
"""File in a run's folder: a run that is resumed, elsewhere or with less memory free, goes on with what was chosen."""
_DOUBT_PAINT, _DOUBT_MASK = 0.05, 0.01
"""Differences of Dice that say nothing: a few held-out strokes judge far less surely than whole slices, and early weights that suit them by chance are poor."""
_STRENGTH = {"none": 0.0, "light": 0.5, "normal": 1.0, "strong": 1.6}
_UPRIGHT_DEG = 15.0
_MEMORY_SHARE = 0.7
_LEAST_PATCH_PX = 64


def settle(run: Run) -> tuple[Proposal, Plan]:
    """Return what is chosen for a run and its plan: as they were at its first start, else worked out now.

    Raises
    ------
    ParameterError
        If settings do not go together, or with the images.
    """
    path = run.folder / PROPOSAL
    if path.exists():
        try:
            proposal = Proposal.from_record(read_json(path, "what was chosen for it"))
        except (KeyError, TypeError):
            raise ModelError(f"{path} is damaged.", hint="Delete it: the settings are chosen anew from the images.") from None
        largest = max(record.shape[record.axes.index(letter)] for record in run.stored for letter in "YX")
        settled = cast("UNetLearnerParams", type(run.params).build(**proposal.settings))
        return proposal, plan_of(settled, painted=run.config["labels_are"] == "paint", largest_px=largest)
    return propose(run.params, evidence_of_run(run), run.learner, str(run.config["device"]))


def tell(run: Run, proposal: Proposal) -> None:
    """Write the reasons into the run's events, and the proposal into its folder, once."""
    path = run.folder / PROPOSAL
    if path.exists():
        return
    lines = "\n".join(f"• {line}" for line in proposal.sentences())
    if lines:
        record = proposal.record()
        EventLog(run.event_path).write("message", text=f"Chosen for these images:\n{lines}", reasons=record["reasons"], memory_mb=round(proposal.memory_mb))
    write_atomically(path, as_json(json.loads(json.dumps(proposal.record()))))


def propose(params: Params, evidence: Evidence, learner: str, device: str = "auto") -> tuple[Proposal, Plan]:
    """Choose what is open, make the plan, and halve the batch, then the patch, until a step fits into seven tenths of the free memory.

    Parameters
    ----------
    params
        Of the learner.
    evidence
        Images and labels.
    learner
        Its name.
    device
        As for training.

    Raises
    ------
    ParameterError
        If settings do not go together, or with the images.
    """
    from napari_segtool.training._cost import machine_of, step_cost
    from napari_segtool.training.learners.unet import UNetLearnerParams

    if not isinstance(params, UNetLearnerParams):
        raise ParameterError(f"The learner {learner} chooses nothing by itself.", hint="Its settings are fixed; see: segtool list learners.")
    machine = machine_of(device)
    found = survey(evidence)
    asked = params
    if asked.dimensions != "2-D" and asked.dimensions != "auto" and any(not subject.counts for subject in evidence.subjects):
        raise ParameterError(f"A {asked.dimensions} network needs volumes, but an image here is a single picture.", hint="Say --set dimensions=2-D.")
    settled, reasons = configure(params, found, machine)
    classes = len(evidence.pixels)

    def planned(now: UNetLearnerParams) -> Plan:
        return plan_of(now, painted=found.painted, largest_px=found.largest_px)

    plan = planned(settled)
    cost = step_cost(plan, evidence.channels, classes)
    limit = _MEMORY_SHARE * machine.free_mb
    while cost.memory_mb > limit and (smaller := _smaller(settled, asked)) is not None:
        settled = smaller
        plan = planned(settled)
        cost = step_cost(plan, evidence.channels, classes)
    reasons = tuple(_corrected(reason, settled, machine) for reason in reasons)
    proposal = Proposal(learner, settled.model_dump(mode="json"), reasons, machine.device, cost.memory_mb, machine.free_mb, cost.parameters)
    return proposal, plan


def _smaller(now: UNetLearnerParams, asked: UNetLearnerParams) -> UNetLearnerParams | None:
    """Half the batch, or half the patch; what the user asked for stays. None where nothing is left to halve."""
    if asked.batch == 0 and now.batch > 1:
        return changed(now, batch=now.batch // 2)
    if asked.patch_px == 0 and now.patch_px >= 2 * max(_LEAST_PATCH_PX, 2 ** (now.depth + 1)):
        return changed(now, patch_px=now.patch_px // 2)
    return None


def _corrected(reason: Reason, settled: UNetLearnerParams, machine: Machine) -> Reason:
    value = getattr(settled, reason.setting)
    if value == reason.value:
        return reason
    why = f"{machine.free_mb / 1024:.1f} GB of memory are free on the {machine.device.upper()}: a step with {reason.value} would not fit."
    return Reason(reason.setting, value, why)


def plan_of(params: UNetLearnerParams, *, painted: bool, largest_px: int) -> Plan:
    """Turn settled parameters into the engine's plan.

    Parameters
    ----------
    params
        With nothing on auto.
    painted
        Whether the labels are paint.
    largest_px
        Longest side of any plane: patches need not be larger.

    Raises
    ------
    ParameterError
        If the patch is too small for the network, or the loss cannot be read.
    """
    spatial = 3 if params.dimensions == "3-D" else 2
    reduction = {"full": 1, "half": 2, "quarter": 4}[params.resolution]
    multiple = 2**params.depth
    if params.patch_px < 2 * multiple:
        raise ParameterError(
            f"Patches of {params.patch_px} px are too small for {params.depth} levels.", hint=f"Take at least {2 * multiple} px, or fewer levels."
        )
    step = multiple * reduction
    side = step * -(-min(params.patch_px * reduction, max(largest_px, 2 * step)) // step)
    pooled = 2 ** params.z_factors.count("2") if spatial == 3 else 1
    planes = -(-params.patch_planes // pooled) * pooled if spatial == 3 else 1
    loss = parse_loss(params.loss)
    head_of(loss)
    augmentation = _augmentation(params, reduction)
    return Plan(
        network=params.network,
        network_params=_network_params(params, spatial, reduction),
        spatial=spatial,
        patch_px=(planes, side, side),
        batch=params.batch,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        optimiser=params.optimiser,
        momentum=params.momentum,
        nesterov=params.nesterov,
        initialisation=params.initialisation,
        schedule=params.schedule,
        warm_up=params.warm_up,
        gradient_limit=params.gradient_limit,
        accumulate=params.accumulate,
        average_steps=params.average_steps,
        loss=loss,
        class_balance=params.class_balance,
        border_weight=params.border_weight,
        border_sigma_px=params.border_sigma_px,
        deep_supervision=params.deep_supervision,
        metric=params.metric,
        patience_steps=params.patience_steps,
        keep_within=_DOUBT_PAINT if painted else _DOUBT_MASK,
        normalisation="fixed" if params.grey_values == "fixed" else "plane",
        precision=params.precision,
        augmentation=augmentation,
        mirror=params.mirror and params.turn != "upright",
        neighbours=params.neighbours if params.dimensions == "2.5-D" else 0,
    )


def _network_params(params: UNetLearnerParams, spatial: int, reduction: int) -> dict[str, Any]:
    """Those that the network has."""
    known = {field.name for field in describe(NETWORKS.get(params.network).params)}
    values = {
        "base_channels": params.base_channels,
        "depth": params.depth,
        "normalisation": params.normalisation,
        "activation": params.activation,
        "residual": params.residual,
        "deep_supervision": params.deep_supervision,
        "dropout": params.dropout,
        "reduction": reduction,
        **({"z_factors": params.z_factors} if spatial == 3 else {}),
    }
    return {name: value for name, value in values.items() if name in known}


def _augmentation(params: UNetLearnerParams, reduction: int) -> Augmentation:
    strength = _STRENGTH[params.augmentation]
    if not strength:
        return STILL
    upright = params.turn == "upright"
    return replace(
        Augmentation(),
        flip_x=True,
        flip_y=not upright,
        flip_z=True,
        rotation_deg=min(params.rotation_deg, _UPRIGHT_DEG * strength) if upright else params.rotation_deg,
        scale=params.scale * strength,
        elastic_px=params.elastic_px * strength * reduction,
        elastic_sigma_px=params.elastic_sigma_px * strength * reduction,
        elastic_grid=params.elastic_grid,
        shear_deg=params.shear_deg * strength,
        shift=params.shift,
        tilt_deg=params.tilt_deg,
        intensity=params.intensity * strength,
        effects=preset(params.modality),
    )
