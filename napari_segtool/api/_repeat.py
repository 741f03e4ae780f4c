"""Training a run once more. torch is loaded by the verb."""

from __future__ import annotations

from pathlib import Path

from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.result import ModelBundle


def repeat_steps(source: str | Path, *, run: str | Path) -> Steps[ModelBundle]:
    """Generator form of `repeat`; yields a `Progress` as training does."""
    from napari_segtool.core.registry import LEARNERS
    from napari_segtool.training.runs._refused import gone_if_refused
    from napari_segtool.training.runs._repeat import repeat_run

    with gone_if_refused(run):
        made = repeat_run(source, run)
        bundle: ModelBundle = yield from LEARNERS.get(made.learner).function(made)
        return bundle


def repeat(source: str | Path, *, run: str | Path) -> ModelBundle:
    """Train once more what a run trained: its images, settings, seed, and what was chosen for them.

    With a budget of steps, on the CPU and with the same versions, the model is the same to the last bit; what makes it differ is said in the events.

    Parameters
    ----------
    source
        Folder of the run that is repeated; it is only read.
    run
        Folder of the new run, new or empty.

    Returns
    -------
    ModelBundle
        The new run's model.

    Raises
    ------
    ModelError
        If there is no run at ``source``, or it is not whole.
    StorageError
        If the new folder is in use or cannot be written.
    """
    return drain(repeat_steps(source, run=run))
