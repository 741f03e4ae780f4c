"""How trainings went, beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_segtool.training.runs._history import RunsHistory


def runs_history(folders: Iterable[str | Path]) -> RunsHistory:
    """Read how several trainings went: their curves, what was best in each, and the settings in which they differ.

    Parameters
    ----------
    folders
        Run folders, finished or still training; a folder that is no run stands for the runs that lie in it.

    Returns
    -------
    RunsHistory
        ``runs``, each with ``curves``, ``best`` and ``best_step``; ``differing`` settings by name.

    Raises
    ------
    DataError
        If a folder holds no run.
    ModelError
        If a run is damaged.
    """
    from napari_segtool.training.runs._history import read_runs

    return read_runs(list(folders))
