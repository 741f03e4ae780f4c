"""The network that a training would use, described before it is begun. torch is loaded by the verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from napari_segtool.api._pairs import pair_of
from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.nets._drawing import NetworkDrawing
from napari_segtool.nets._neighbours import network_channels


def planned_network_steps(
    pairs: Iterable[Sequence[Any]],
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"] = "mask",
    device: str = "auto",
    slices: str = "",
    model: str | Path = "",
    **params: Any,
) -> Steps[NetworkDrawing]:
    """Generator form of `planned_network`."""
    from napari_segtool.core.registry import LEARNERS

    entry = LEARNERS.get(learner)
    values = entry.params.build(**params)
    yield Progress(0, 0, "reading images and labels")
    loaded = [pair_of(pair[0], pair[1], labels_are, slices) for pair in pairs]
    if not loaded:
        raise DataError("There is no image to look at.", hint="Give at least one image with its labels.")
    from napari_segtool.nets._describe import describe_network_steps
    from napari_segtool.training.configure._planning import propose
    from napari_segtool.training.survey._evidence import evidence_of_pairs

    evidence = evidence_of_pairs(loaded, labels_are)
    plan = propose(values, evidence, entry.name, device, model)[1]
    channels = network_channels(evidence.channels, plan.neighbours)
    sides = plan.patch_px[-plan.spatial :]
    return (yield from describe_network_steps(plan.network, plan.network_params, channels, len(evidence.pixels), plan.spatial, sides, plan.batch))


def planned_network(
    pairs: Iterable[Sequence[Any]],
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"] = "mask",
    device: str = "auto",
    **params: Any,
) -> NetworkDrawing:
    """Describe the network that a training with these images and settings would use: what is on auto is chosen first, as `propose` does.

    Parameters
    ----------
    pairs, learner, labels_are, device, **params
        As for `propose`.

    Returns
    -------
    NetworkDrawing
        As from `describe_network`, for the patches and batch of the training.

    Raises
    ------
    PaintError
        If there is nothing to learn.

    Examples
    --------
    >>> import napari_segtool as segtool
    >>> planned_network([segtool.sample("em")], device="cpu", base_channels=8).patch_px
    (256, 256)
    """
    return drain(planned_network_steps(pairs, learner, labels_are=labels_are, device=device, **params))
