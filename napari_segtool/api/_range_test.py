"""The learning-rate range test. torch is loaded by the verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_segtool.api._trial_run import trial_run
from napari_segtool.core.progress import Progress, Steps, drain

if TYPE_CHECKING:
    from napari_segtool.training.before._range_test import RateRange


def rate_range_steps(
    source: Iterable[Sequence[Any]] | str | Path,
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"] = "mask",
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    slices: str = "",
    threads: int = 0,
    model: str | Path = "",
    **params: Any,
) -> Steps[RateRange]:
    """Generator form of `rate_range`; yields a `Progress` with ``learning_rate``, ``loss`` and ``smoothed`` after every step."""
    from napari_segtool.core.registry import LEARNERS

    if isinstance(source, str | Path):
        from napari_segtool.training.before._range_test import rate_range_steps as test
        from napari_segtool.training.configure._planning import settle
        from napari_segtool.training.runs._run import open_run

        run = open_run(source)
        return (yield from test(run, settle(run)[1], steps=steps, lowest=lowest, highest=highest))
    values = LEARNERS.get(learner).params.build(**params)
    yield Progress(0, steps, "reading images and labels")
    options: dict[str, Any] = {"labels_are": labels_are, "slices": slices, "model": model, "seed": seed, "device": device, "threads": threads}
    with trial_run(source, learner, values, steps=steps, **options) as trial:
        return (yield from rate_range_steps(trial.folder, steps=steps, lowest=lowest, highest=highest))


def rate_range(
    source: Iterable[Sequence[Any]] | str | Path,
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"] = "mask",
    steps: int = 100,
    **options: Any,
) -> RateRange:
    """Find the learning rate to train with: train a few steps while the rate grows, and see where the loss falls and where it breaks.

    Parameters
    ----------
    source
        ``(stack, labels)`` or ``(stack, labels, weights)`` as for `train`, or the folder of a run, which is only read.
    learner, labels_are
        As for `train`; a run brings its own.
    steps
        Steps from the lowest rate to the highest.
    **options
        ``lowest=1e-6``, ``highest=1.0``, ``seed``, ``device``, ``slices``, ``threads``, ``model`` to go on from, and the learner's parameters.

    Returns
    -------
    RateRange
        ``rates``, ``losses`` and ``smoothed`` losses, and a ``suggestion``; what was learned on the way is thrown away.

    Raises
    ------
    PaintError
        If there is nothing to learn.

    References
    ----------
    Smith 2017, Cyclical learning rates for training neural networks, doi:10.1109/WACV.2017.58.
    """
    return drain(rate_range_steps(source, learner, labels_are=labels_are, steps=steps, **options))
