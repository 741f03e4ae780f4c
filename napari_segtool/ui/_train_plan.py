"""The plan of a training in one line, as far as it is known. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_segtool.ui._facts import count_text, memory_text
from napari_segtool.ui._train_history import patches_text

if TYPE_CHECKING:
    from napari_segtool.training.configure._proposal import Proposal


def plan_text(settings: Mapping[str, Any], *, minutes: float = 0, steps: int = 0, proposal: Proposal | None = None) -> str:
    """Say what a training would do: what is set, or all of it where a proposal was worked out.

    Examples
    --------
    >>> plan_text({"dimensions": "auto", "patch_px": 0, "batch": 0}, minutes=10)
    'chosen from the images, 10 min'
    >>> plan_text({"dimensions": "2-D", "patch_px": 256, "batch": 8}, steps=900)
    '2-D patches 256², batch 8, 900 steps'
    """
    known = settings if proposal is None else proposal.settings
    parts = [
        _patches(known),
        f"batch {known['batch']}" if known.get("batch") else "",
        _budget(minutes, steps, proposal),
        memory_text(proposal.memory_mb) if proposal is not None and proposal.memory_mb else "",
    ]
    return ", ".join(part for part in parts if part)


def _patches(settings: Mapping[str, Any]) -> str:
    size = settings.get("patch_px")
    if size is None:
        return "as published"
    kind = str(settings.get("dimensions", "")).replace("auto", "")
    planes = int(settings.get("patch_planes") or 0)
    return patches_text(kind, (*((planes,) if kind == "3-D" and planes else ()), size, size)) if size else "chosen from the images"


def _budget(minutes: float, steps: int, proposal: Proposal | None) -> str:
    if proposal is None or not proposal.seconds_per_step:
        return f"{minutes:g} min" if minutes else f"{steps} steps"
    if minutes:
        return f"about {count_text(int(float(f'{proposal.steps:.2g}')))} steps"
    return f"{count_text(steps)} steps in about {max(1, round(steps * proposal.seconds_per_step / 60))} min"
