"""A tiny training problem with a known answer: bright and dark blobs in noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._run import Run, create_run

TINY = {"base_channels": 4, "depth": 2, "patch_px": 32, "batch": 2, "precision": "float32"}


def blobs(planes: int = 6, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Image ``(P, Y, X)`` uint8 and its mask, 0 or 255."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    mask = np.stack([np.sin(y / 7 + phase) * np.cos(x / 6 - phase) > 0.1 for phase in range(planes)])
    image = (mask * 70 + 80 + rng.normal(0, 12, mask.shape)).clip(0, 255).astype(np.uint8)
    return image, mask.astype(np.uint8) * 255


def tiny_run(
    folder: Path, *, pairs: Any = None, labels_are: Any = "mask", steps: int = 20, minutes: float = 0, seed: int = 0, start_from: Any = "", **params: Any
) -> Run:
    """A prepared run of a tiny U-Net; by default on the blobs."""
    if pairs is None:
        image, mask = blobs()
        pairs = [(Stack(image, "ZYX", (0.05, 0.01, 0.01), "blobs"), mask)]
    values = LEARNERS.get("unet").params.build(**{**TINY, **params})
    return create_run(
        folder, pairs, "unet", values, labels_are=labels_are, steps=steps, minutes=minutes, seed=seed, device="cpu", threads=1, start_from=start_from
    )


def train(run: Run) -> Any:
    """The generator that trains a run."""
    return LEARNERS.get(run.learner).function(run)


def weights_of(run: Run) -> dict[str, np.ndarray]:
    """Weights of the kept model."""
    return dict(load_file(run.folder / "model" / "weights.safetensors"))


def kinds(run: Run) -> list[str]:
    """Kinds of the events so far."""
    return [str(event["kind"]) for event in run.events()[0]]


def messages(run: Run) -> str:
    """Texts of the events so far."""
    return "\n".join(str(event["text"]) for event in run.events()[0] if "text" in event)
