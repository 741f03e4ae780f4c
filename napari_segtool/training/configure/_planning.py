"""From a learner's parameters to the engine's plan: what is open is chosen, memory is looked after, and all of it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segtool.core.errors import ModelError, ParameterError
from napari_segtool.core.params import Params, describe
from napari_segtool.core.registry import NETWORKS
from napari_segtool.training._plan import Plan
from napari_segtool.training.configure._begun import as_model, check_network
from napari_segtool.training.configure._chooser import Machine, changed
from napari_segtool.training.configure._configure import configure
from napari_segtool.training.configure._network_rules import levels_of
from napari_segtool.training.configure._proposal import Proposal, Reason
from napari_segtool.training.configure._variation import variation_of
from napari_segtool.training.losses._combined import head_of
from napari_segtool.training.losses._text import parse_loss
from napari_segtool.training.runs._events import EventLog, write_atomically
from napari_segtool.training.runs._folder import PROPOSAL, as_json, cannot_write, read_json
from napari_segtool.training.runs._run import DEFAULT_MINUTES, Run, model_to_begin
from napari_segtool.training.survey._evidence import Evidence, evidence_of_run
from napari_segtool.training.survey._survey import survey

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

_DOUBT_PAINT, _DOUBT_MASK = 0.05, 0.01
"""Differences of Dice that say nothing: a few held-out strokes judge far less surely than whole slices, and early weights that suit them by chance are poor."""
_MEMORY_SHARE = 0.7
_LEAST_PATCH_PX = 64
_FEW_STEPS, _FEWEST_CHANNELS = 150, 8


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
        settled = type(run.params).build(**proposal.settings)
        largest = max(record.shape[record.axes.index(letter)] for record in run.stored for letter in "YX")
        return proposal, _plan(settled, painted=run.config["labels_are"] == "paint", largest_px=largest)
    return propose(run.params, evidence_of_run(run), run.learner, str(run.config["device"]), run.start_folder or "")


def tell(run: Run, proposal: Proposal) -> None:
    """Write the reasons into the run's events, and the proposal into its folder, once."""
    path = run.folder / PROPOSAL
    if path.exists():
        return
    lines = "\n".join(f"• {line}" for line in proposal.sentences())
    if lines:
        record = proposal.record()
        EventLog(run.event_path).write("message", text=f"Chosen for these images:\n{lines}", reasons=record["reasons"], memory_mb=round(proposal.memory_mb))
    try:
        write_atomically(path, as_json(json.loads(json.dumps(proposal.record()))))
    except OSError as error:
        raise cannot_write(run.folder, error) from None


def propose(params: Params, evidence: Evidence, learner: str, device: str = "auto", model: str | Path = "") -> tuple[Proposal, Plan]:
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
    model
        To go on from; empty starts anew.

    Raises
    ------
    ParameterError
        If settings do not go together, or with the images.
    ModelError
        If the model to go on from does not fit.
    """
    from napari_segtool.training.configure._cost import machine_of, step_cost
    from napari_segtool.training.learners.unet import UNetLearnerParams

    machine = machine_of(device)
    classes = len(evidence.pixels)
    sides = [side for subject in evidence.subjects for side in subject.plane_px]
    card = model_to_begin(model, evidence.channels).card if model else None
    begun = tuple[Reason, ...]()
    if card is not None:
        params, begun = as_model(params, card)
    settled, reasons = params, tuple[Reason, ...]()
    if isinstance(params, UNetLearnerParams):
        if params.dimensions not in ("2-D", "auto") and any(not subject.counts for subject in evidence.subjects):
            raise ParameterError(f"A {params.dimensions} network needs volumes, but an image here is a single picture.", hint="Say --set dimensions=2-D.")
        flat = next((subject for subject in evidence.subjects if not subject.order.endswith("Z")), None)
        if params.dimensions == "3-D" and flat is not None:
            raise ParameterError(
                f"A 3-D network works on volumes, but an image here has the axes {flat.axes}.",
                hint="If its pages are sections, say so: --axes ZYX. Else say --set dimensions=2-D.",
            )
        settled, reasons = configure(params, survey(evidence), machine, going_on=card is not None)
    plan = _plan(settled, painted=evidence.painted, largest_px=max(sides))
    if card is not None:
        check_network(plan, card)
    cost = step_cost(plan, evidence.channels, classes)
    while cost.memory_mb > _MEMORY_SHARE * machine.free_mb and (smaller := _smaller(settled, params)) is not None:
        settled = smaller
        plan = _plan(settled, painted=evidence.painted, largest_px=max(sides))
        cost = step_cost(plan, evidence.channels, classes)
    told = (*begun, *(_corrected(reason, settled, machine) for reason in reasons))
    proposal = Proposal(learner, settled.model_dump(mode="json"), told, machine.device, cost.memory_mb, machine.free_mb, cost.parameters)
    return proposal, plan


def timed(proposal: Proposal, plan: Plan, evidence: Evidence, *, minutes: float = 0, steps: int = 0, threads: int = 0) -> Proposal:
    """Return the proposal with the time of a step, and the steps that a budget allows; with neither budget it is that of a run.

    Parameters
    ----------
    proposal, plan
        From `propose`.
    evidence
        Images and labels.
    minutes, steps
        Budget.
    threads
        Processor cores; 0 takes all.
    """
    from napari_segtool.training.configure._cost import seconds_per_step

    took = seconds_per_step(plan, evidence.channels, len(evidence.pixels), proposal.device, threads)
    minutes = minutes if minutes or steps else DEFAULT_MINUTES
    fitting = max(1, round(60 * minutes / took)) if minutes else steps
    count = min(fitting, steps) if steps else fitting
    if steps and count == steps:
        why = f"You asked for them: about {_duration(count * took)} at {took:.2g} s a step."
    else:
        why = f"So many fit into {minutes:g} minute{'' if minutes == 1 else 's'} at {took:.2g} s a step{_few(plan, evidence) if count < _FEW_STEPS else ''}."
    return replace(proposal, seconds_per_step=took, steps=count, reasons=(*proposal.reasons, Reason("steps", count, why)))


def _few(plan: Plan, evidence: Evidence) -> str:
    """What would help where a budget is short."""
    from napari_segtool.training.configure._cost import step_cost

    channels = int(plan.network_params.get("base_channels", 0)) // 2
    if channels < _FEWEST_CHANNELS:
        return ": few, so give it more time"
    classes = len(evidence.pixels)
    smaller = replace(plan, network_params={**plan.network_params, "base_channels": channels})
    times = step_cost(plan, evidence.channels, classes).products / step_cost(smaller, evidence.channels, classes).products
    return f": few, so give it more time, or base_channels={channels}, which takes {100 / times:.0f} % of the multiplications"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _plan(params: Params, *, painted: bool, largest_px: int) -> Plan:
    """The plan of whichever learner the parameters belong to."""
    from napari_segtool.training.learners.unet import UNetLearnerParams
    from napari_segtool.training.learners.unet2015 import UNet2015LearnerParams, plan_as_published

    if isinstance(params, UNetLearnerParams):
        return plan_of(params, painted=painted, largest_px=largest_px)
    if isinstance(params, UNet2015LearnerParams):
        return plan_as_published(params)
    raise ParameterError(f"{type(params).__name__} are not the settings of a network.", hint="Choose a learner from: segtool list learners.")


def _smaller(now: Params, asked: Params) -> Params | None:
    """Half the batch, or half the patch, where these were left open. None where nothing is left to halve."""
    from napari_segtool.training.learners.unet import UNetLearnerParams

    if not isinstance(now, UNetLearnerParams) or not isinstance(asked, UNetLearnerParams):
        return None
    if asked.batch == 0 and now.batch > 1:
        return changed(now, batch=now.batch // 2)
    if asked.patch_px == 0 and now.patch_px >= 2 * max(_LEAST_PATCH_PX, 2 ** (levels_of(now) + 1)):
        return changed(now, patch_px=now.patch_px // 2)
    return None


def _corrected(reason: Reason, settled: Params, machine: Machine) -> Reason:
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
    levels = levels_of(params)
    multiple = 2**levels
    if params.patch_px < 2 * multiple:
        raise ParameterError(f"Patches of {params.patch_px} px are too small for {levels} levels.", hint=f"Take at least {2 * multiple} px, or fewer levels.")
    step = multiple * reduction
    side = step * -(-min(params.patch_px * reduction, max(largest_px, 2 * step)) // step)
    pooled = 2 ** params.z_factors.count("2") if spatial == 3 else 1
    planes = -(-params.patch_planes // pooled) * pooled if spatial == 3 else 1
    loss = parse_loss(params.loss)
    head_of(loss)
    return Plan(
        network=params.network,
        network_params=_network_params(params, spatial, reduction),
        spatial=spatial,
        patch_px=(planes, side, side),
        batch=params.batch,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        optimiser="muon" if params.optimiser == "auto" else params.optimiser,
        momentum=params.momentum,
        nesterov=params.nesterov,
        initialisation="gaussian" if params.initialisation == "auto" else params.initialisation,
        retain=max(0.0, params.retain) if params.initialisation == "em" else 0.0,
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
        augmentation=variation_of(params, reduction),
        mirror="sides" if params.mirror and params.turn == "upright" else params.mirror,
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
