"""napari-segtool: paint, learn, look inside, correct and export segmentations of EM and ultrasound stacks.

The public verbs are loaded at first use, so that ``import napari_segtool`` is quick and loads no torch.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_VERBS = ("apply_filter", "describe_network", "evaluate", "explain", "predict", "propose", "read", "sample", "segment", "train", "write")
_TYPES = {
    "Labels": "labels",
    "ModelBundle": "result",
    "Paint": "labels",
    "Prediction": "result",
    "Probabilities": "result",
    "Progress": "progress",
    "Region": "target",
    "Scores": "result",
    "SegtoolError": "errors",
    "Segmentation": "result",
    "Stack": "stack",
    "Target": "target",
    "drain": "progress",
}

__all__ = ["__version__", *_VERBS, *(f"{verb}_steps" for verb in _VERBS if verb not in ("read", "sample", "write")), *_TYPES]

if TYPE_CHECKING:
    from napari_segtool.api import (
        apply_filter,
        apply_filter_steps,
        describe_network,
        describe_network_steps,
        evaluate,
        evaluate_steps,
        explain,
        explain_steps,
        predict,
        predict_steps,
        propose,
        propose_steps,
        read,
        sample,
        segment,
        segment_steps,
        train,
        train_steps,
        write,
    )
    from napari_segtool.core.errors import SegtoolError
    from napari_segtool.core.labels import Labels, Paint
    from napari_segtool.core.progress import Progress, drain
    from napari_segtool.core.result import ModelBundle, Prediction, Probabilities, Scores, Segmentation
    from napari_segtool.core.stack import Stack
    from napari_segtool.core.target import Region, Target


class _Package(ModuleType):
    """Two verbs have the names of folders: importing the folder must not hide the verb."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _VERBS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    import importlib

    if name in _TYPES:
        return getattr(importlib.import_module(f"napari_segtool.core.{_TYPES[name]}"), name)
    if name in __all__:
        return getattr(importlib.import_module("napari_segtool.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
