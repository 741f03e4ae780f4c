"""A run made once more: its images, settings and seed in a folder of their own, to be trained anew."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from napari_segtool.core.errors import ModelError
from napari_segtool.training.runs._folder import PROPOSAL, START, found_versions, new_folder
from napari_segtool.training.runs._run import Run, furnished, open_run


def repeat_run(source: str | Path, folder: str | Path) -> Run:
    """Prepare a run that does what another one did. On the CPU, with a budget of steps and the same versions, it gives the same weights.

    Parameters
    ----------
    source
        Folder of the run that is repeated: data, settings, what was chosen for them, the model it began from, seed and number of threads are taken from it.
    folder
        New or empty.

    Raises
    ------
    ModelError
        If there is no run at ``source``, or it is damaged.
    StorageError
        If the new folder is in use, cannot be written, or its disk is full.
    """
    old, folder = open_run(source), Path(folder)
    for record in old.stored:
        for name in filter(None, (record.image, record.labels, record.weights)):
            if not (old.folder / "data" / name).is_file():
                raise ModelError(f"The run {old.folder} is not whole: its data/{name} is missing.", hint="Start a new run from the images themselves.")
    with new_folder(folder):
        for name in ("data", START):
            if (old.folder / name).exists():
                shutil.copytree(old.folder / name, folder / name)
        if (old.folder / PROPOSAL).exists():
            shutil.copyfile(old.folder / PROPOSAL, folder / PROPOSAL)
        versions = found_versions()
        recipe = {**old.config["recipe"], "version": versions["napari-segtool"]}
        config = {**old.config, "versions": versions, "recipe": recipe, "created": time.time(), "repeats": str(old.folder)}
        return furnished(folder, config, _differences(old, versions))


def _differences(old: Run, versions: dict[str, str]) -> list[str]:
    """Why the repetition may not give the same weights, a sentence each."""
    before: dict[str, Any] = old.config.get("versions", {})
    changed = [f"{name} {before.get(name, 'unknown')} → {version}" for name, version in versions.items() if before.get(name) != version]
    texts = []
    if changed:
        texts.append(f"Since the run that is repeated, versions changed: {', '.join(changed)}. Its weights may differ a little.")
    if old.minutes:
        texts.append("The run that is repeated had a budget of time: how many steps that is depends on the machine, so the weights will differ a little.")
    if "began_with" in old.config:
        texts.append("The run that is repeated was given a larger budget on its way; this one has it from the beginning, so the weights will differ.")
    return texts
