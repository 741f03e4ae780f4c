"""Going on with a run: on another device, with a larger budget; what it began with is not changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_segtool.core.errors import ParameterError
from napari_segtool.training.runs._asked import check_asked
from napari_segtool.training.runs._events import EventLog, write_atomically
from napari_segtool.training.runs._folder import as_json, cannot_write
from napari_segtool.training.runs._lock import sole_trainer
from napari_segtool.training.runs._run import Run, open_run


def resume_run(
    folder: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    minutes: float = 0,
    steps: int = 0,
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
    model: str | Path = "",
) -> Run:
    """Open a run to go on with it; what is asked for is written into its folder.

    Parameters
    ----------
    folder
        Of the run.
    given
        Settings of the learner, as for a new run: those it began with, or none.
    minutes, steps
        Its whole budget, with what it has used already; with both 0 it stays as it is. A run that is finished goes on with a larger one.
    seed
        The one it began with, or 0.
    device
        ``auto`` is the one it began on, or what there is where that is missing.
    threads
        Processor cores from now on; 0 leaves them.
    model
        Empty, unless it began from a model.

    Raises
    ------
    ModelError
        If there is no run, it is damaged, or another process trains it.
    ParameterError
        If something is asked for that a run cannot change, or a budget that is used up.
    """
    run = open_run(folder)
    check_asked(minutes=minutes, steps=steps, seed=seed, threads=threads)
    _refuse_changes(run, dict(given or {}), seed, bool(model))
    asked: dict[str, Any] = {}
    if (minutes or steps) and (minutes, steps) != (run.minutes, run.steps):
        _refuse_used(run, minutes, steps)
        asked |= {"minutes": float(minutes), "steps": int(steps)}
    if device not in ("auto", run.config.get("device")):
        asked["device"] = device
    if threads and threads != run.config.get("threads"):
        asked["threads"] = int(threads)
    return _changed(run, asked) if asked else run


def _refuse_changes(run: Run, given: dict[str, Any], seed: int, model: bool) -> None:
    wanted, began = type(run.params).build(**given), run.params
    for name in given:
        if getattr(wanted, name) != getattr(began, name):
            raise ParameterError(
                f"This run began with {name} = {getattr(began, name)}, and {getattr(wanted, name)} is asked for now.",
                hint=f"Leave it out to go on as it began, or start a new run from its model: --from {run.folder}",
            )
    if seed and seed != run.seed:
        raise ParameterError(f"This run began with seed {run.seed}, and {seed} is asked for now.", hint="Leave it out, or start a new run.")
    if model and run.start_folder is None:
        raise ParameterError("This run did not begin from a model, and one is given now.", hint="Leave it out, or start a new run from that model.")


def _refuse_used(run: Run, minutes: float, steps: int) -> None:
    used_steps, used_s = spent(run)
    if (steps and steps <= used_steps) or (minutes and minutes * 60 <= used_s):
        raise ParameterError(
            f"This run has trained {used_steps} steps in {used_s / 60:.1f} minutes already, so {_budget_text(minutes, steps)} are used up.",
            hint="The budget is that of the whole run: give more, or leave it out.",
        )


def spent(run: Run) -> tuple[int, float]:
    """Steps and seconds that a run has trained, as its events tell; what comes after the last checkpoint is counted too."""
    told = [event for event in run.events()[0] if event.get("step") is not None and event.get("seconds") is not None]
    return (int(told[-1]["step"]), float(told[-1]["seconds"])) if told else (0, 0.0)


def _changed(run: Run, asked: dict[str, Any]) -> Run:
    config = {**run.config, **asked}
    extended = "minutes" in asked
    if extended:
        budget = {"minutes": asked["minutes"], "steps": asked["steps"]}
        recipe = run.config["recipe"]
        began = run.config.get("began_with") or {"minutes": run.minutes, "steps": run.steps}
        config |= {"recipe": {**recipe, "params": {**recipe["params"], **budget}}, "began_with": began}
    after = replace(run, config=config)
    with sole_trainer(run.folder):
        try:
            write_atomically(run.folder / "config.json", as_json(config))
        except OSError as error:
            raise cannot_write(run.folder, error) from None
        if extended:
            text = f"This run has {_budget_text(after.minutes, after.steps)} now, instead of {_budget_text(run.minutes, run.steps)}."
            EventLog(run.event_path).write("message", text=text, extended=True)
    return after


def _budget_text(minutes: float, steps: int) -> str:
    return " and ".join([f"{minutes:g} minutes"] * bool(minutes) + [f"{steps} steps"] * bool(steps))
