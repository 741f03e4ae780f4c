"""What a training would do, and why, before it is begun. torch is loaded by the verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_segtool.api._pairs import pair_of
from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import Progress, Steps, drain

if TYPE_CHECKING:
    from napari_segtool.training.configure._proposal import Proposal


def propose_steps(
    pairs: Iterable[Sequence[Any]],
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"] = "mask",
    minutes: float = 0,
    steps: int = 0,
    device: str = "auto",
    slices: str = "",
    threads: int = 0,
    timing: bool = True,
    model: str | Path = "",
    **params: Any,
) -> Steps[Proposal]:
    """Generator form of `propose`."""
    from napari_segtool.core.registry import LEARNERS
    from napari_segtool.training.runs._asked import check_asked

    check_asked(minutes=minutes, steps=steps, threads=threads)
    entry = LEARNERS.get(learner)
    values = entry.params.build(**params)
    total = 3 if timing else 2
    yield Progress(0, total, "reading images and labels")
    loaded = [pair_of(pair[0], pair[1], labels_are, slices) for pair in pairs]
    if not loaded:
        raise DataError("There is no image to look at.", hint="Give at least one image with its labels.")
    from napari_segtool.training.configure._planning import propose as work_out
    from napari_segtool.training.configure._planning import timed
    from napari_segtool.training.survey._evidence import evidence_of_pairs

    evidence = evidence_of_pairs(loaded, labels_are)
    yield Progress(1, total, "looking at them")
    proposal, plan = work_out(values, evidence, entry.name, device, model)
    if timing:
        yield Progress(2, total, "timing a step")
        proposal = timed(proposal, plan, evidence, minutes=minutes, steps=steps, threads=threads)
    yield Progress(total, total, "done")
    return proposal


def propose(
    pairs: Iterable[Sequence[Any]],
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"] = "mask",
    minutes: float = 0,
    steps: int = 0,
    device: str = "auto",
    **params: Any,
) -> Proposal:
    """Say how a learner would train on images and labels, and why, without training.

    Parameters
    ----------
    pairs
        ``(stack, labels)`` pairs, or paths, as for `train`; weights that come with them are not looked at.
    learner
        Name from ``segtool list learners``.
    labels_are
        ``"mask"`` or ``"paint"``, as for `train`.
    minutes, steps
        Budget; with both 0 that of a run.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    **params
        The learner's parameters: what is set is kept, what is on auto is chosen; and ``slices="A:B"``, ``threads=2``, ``model=…`` to go on from, and
        ``timing=False`` to leave out the estimate of time.

    Returns
    -------
    Proposal
        ``settings`` with nothing left on auto, ``reasons`` with one sentence for each choice, estimates of memory and time.

    Raises
    ------
    PaintError
        If there is nothing to learn: no paint, one class, or paint taken for a mask.
    ModelError
        If the model to go on from is damaged, or does not fit.

    Examples
    --------
    >>> import napari_segtool as segtool
    >>> proposal = segtool.propose([segtool.sample("em")], device="cpu", timing=False)
    >>> proposal.settings["loss"]
    'cross-entropy + 0.5*dice'
    """
    return drain(propose_steps(pairs, learner, labels_are=labels_are, minutes=minutes, steps=steps, device=device, **params))
