"""A run that is made to see what a training would do, and removed again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_segtool.api._pairs import pairs_of
from napari_segtool.core.params import Params

if TYPE_CHECKING:
    from napari_segtool.training.runs._run import Run


@contextmanager
def trial_run(
    pairs: Iterable[Sequence[Any]],
    learner: str,
    params: Params,
    *,
    labels_are: Literal["mask", "paint"],
    slices: str = "",
    model: str | Path = "",
    **options: Any,
) -> Iterator[Run]:
    """Make a run as `train` would, with the weights of pixels, in a temporary folder.

    Parameters
    ----------
    pairs, learner, labels_are, slices, model
        As for `train`.
    params
        Of the learner.
    **options
        Of `create_run`.
    """
    from napari_segtool.training.runs._run import create_run

    loaded = pairs_of(pairs, labels_are, slices)
    with tempfile.TemporaryDirectory(prefix="segtool-trial-") as folder:
        yield create_run(Path(folder) / "run", loaded, learner, params, labels_are=labels_are, start_from=model, **options)
