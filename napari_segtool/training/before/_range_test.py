"""The learning-rate range test: train a few steps while the rate grows, and see where the loss falls and where it breaks. Imports torch."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.nets._bundle import load_network, open_bundle
from napari_segtool.nets._forward import flushed_denormals, out_of_memory
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._border import weigh_fields
from napari_segtool.training.data._holdout import open_pictures, split_fields
from napari_segtool.training.data._loader import Prefetcher
from napari_segtool.training.data._normalisation import normalisation_of
from napari_segtool.training.engine._fit import all_cores
from napari_segtool.training.engine._trainer import Trainer
from napari_segtool.training.engine._watch import Watch
from napari_segtool.training.runs._run import Run

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
_SMOOTHING = 0.9
_BROKEN = 4.0
"""The test ends when the smoothed loss is so many times the least."""
_BEFORE_THE_LEAST = 10.0
_FEWEST = 8
_SETTLING = 10


@dataclass(frozen=True)
class RateRange:
    """What a range test has found.

    Parameters
    ----------
    rates
        Learning rates, growing evenly on a logarithmic axis.
    losses
        Loss of the step at each.
    smoothed
        The same, as an exponential mean over about ten steps.
    suggestion
        A rate to train with, two digits; NaN where the loss never fell.
    diverged
        Rate at which the loss broke and the test ended; NaN where it went to the end.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    diverged: float

    def record(self) -> dict[str, Any]:
        """Return it JSON-ready; NaN becomes None."""
        ends = {name: None if math.isnan(value) else value for name, value in (("suggestion", self.suggestion), ("diverged", self.diverged))}
        return {"rates": list(self.rates), "losses": list(self.losses), "smoothed": list(self.smoothed), **ends}


def rate_range_steps(run: Run, plan: Plan, *, steps: int = STEPS, lowest: float = LOWEST, highest: float = HIGHEST) -> Steps[RateRange]:
    """Train with a rate that grows from step to step, until the loss breaks. The run is only read; what was learned is thrown away.

    Parameters
    ----------
    run
        Whose data and seed are taken, and the model it starts from, if there is one.
    plan
        How to train.
    steps
        Steps from the lowest rate to the highest.
    lowest, highest
        Learning rates.

    Yields
    ------
    Progress
        After every step, with ``learning_rate``, ``loss`` and ``smoothed`` among its metrics, so that the curve can be drawn as it grows.

    Raises
    ------
    ParameterError
        If there are fewer than eight steps, or the rates do not grow.
    DeviceError
        If memory runs out even for the smallest patch.

    References
    ----------
    Smith 2017, Cyclical learning rates for training neural networks, doi:10.1109/WACV.2017.58.
    """
    if steps < _FEWEST or not 0 < lowest < highest < math.inf:
        raise ParameterError(
            f"A range test cannot go from {lowest} to {highest} in {steps} steps.", hint=f"Take {_FEWEST} steps or more, and a highest rate above the lowest."
        )
    before = torch.get_num_threads()
    torch.set_num_threads(int(run.config.get("threads", 0)) or all_cores())
    try:
        with flushed_denormals(), tempfile.TemporaryDirectory(prefix="segtool-rates-") as folder:
            return (yield from _test(run, plan, steps, lowest, highest, Path(folder)))
    finally:
        torch.set_num_threads(before)


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """Return the rate at which the smoothed loss falls fastest, but no more than a tenth of the one at which it is least.

    Returns
    -------
    float
        Two digits; NaN where the loss does not fall by a twentieth of itself.

    Examples
    --------
    >>> rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    >>> suggest(rates, [1.0, 0.95, 0.6, 0.5, 3.0])
    0.001
    """
    values = np.asarray(smoothed, float)
    least = int(values.argmin()) if values.size else 0
    if least < 1 or not values[least] < 0.95 * values[: least + 1].max():
        return math.nan
    slopes = np.diff(values[: least + 1]) / np.diff(np.log(np.asarray(rates, float)[: least + 1]))
    slopes[: min(_SETTLING, least // 2)] = 0.0  # the mean of the first few losses is noise still
    steepest = rates[int(slopes.argmin()) + 1]
    return float(f"{min(steepest, rates[least] / _BEFORE_THE_LEAST):.1e}")


class _Deaf(Watch):
    """Nobody asks a test to end through the run folder, where another process may be training."""

    def look(self) -> None:
        """Go on."""


def _test(run: Run, plan: Plan, steps: int, lowest: float, highest: float, folder: Path) -> Steps[RateRange]:
    sparse = run.config["labels_are"] == "paint"
    fields = split_fields(open_pictures(run, plan.spatial), len(run.classes), sparse=sparse, seed=run.seed)
    normalisation = normalisation_of(plan.normalisation, fields)
    trainer = Trainer(
        plan,
        fields,
        channels=run.channels,
        classes=len(run.classes),
        normalisation=normalisation,
        device=str(run.config["device"]),
        seed=run.seed,
        watch=_Deaf(run),
    )
    if run.start_folder is not None:
        trainer.start_from(load_network(open_bundle(run.start_folder)).state_dict())
    trainer.choose_precision()
    if plan.border_weight:
        weights, flat = trainer.map_weights.tolist(), plan.spatial == 2
        work = weigh_fields(fields, folder, w0=0.0 if sparse else plan.border_weight, sigma_px=plan.border_sigma_px, class_weights=weights, flat=flat)
        try:
            while True:
                yield Progress(next(work), steps + 1, "weight map")
        except StopIteration as stop:
            trainer.fields = stop.value
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    prefetcher = Prefetcher(trainer.batches())
    try:
        while len(rates) < steps:
            rate = lowest * (highest / lowest) ** (len(rates) / (steps - 1))
            first = trainer.step * plan.accumulate
            try:
                loss = trainer.learn(prefetcher.take(first), rate, (prefetcher.take(first + n) for n in range(1, plan.accumulate)))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                trainer.shrink()
                prefetcher.close()
                prefetcher = Prefetcher(trainer.batches())
                continue
            except DataError:
                loss = math.inf
            if not math.isfinite(loss):
                return RateRange(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed), rate)
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            rates.append(rate)
            losses.append(loss)
            smoothed.append(mean / (1 - _SMOOTHING ** len(rates)))
            yield Progress(len(rates), steps, f"rate {rate:.1e}", {"learning_rate": rate, "loss": loss, "smoothed": smoothed[-1]})
            if smoothed[-1] > _BROKEN * min(smoothed):
                return RateRange(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed), rate)
    finally:
        prefetcher.close()
    return RateRange(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed), math.nan)
