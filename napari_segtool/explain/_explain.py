"""Ask an explainer: find it, make the model and the question ready, return its map with the recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_segtool import __version__
from napari_segtool.core.errors import DeviceError, ModelError
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.result import ModelBundle, Step, data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.wanted import Wanted
from napari_segtool.explain._question import Question
from napari_segtool.nets._forward import out_of_memory
from napari_segtool.nets._loaded import LoadedModel, load_model


def explain_steps(
    bundle: ModelBundle,
    stack: Stack,
    explainer: str,
    target: Target,
    *,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
    **params: Any,
) -> Steps[Stack]:
    """Show which pixels made a model decide; yields `Progress` between passes.

    Parameters
    ----------
    bundle
        The model.
    stack
        The image.
    explainer
        Name from the registry of explainers.
    target
        Class, and pixel, region or plane; without any, the first plane.
    device, threads
        As for prediction.
    precision
        "float32", "bfloat16", or "auto": as for prediction, but float32 for a single pixel or a region, where rounding does not
        average out, unless the explainer sees to that itself (trait ``"own-precision"``).
    loaded
        The model in memory where the caller keeps it.
    **params
        The explainer's parameters.

    Returns
    -------
    Stack
        float32 map of the explained plane, with the axes of the stack's labels, one entry long along the axes that
        planes are counted along (``(1, Y, X)`` for ``ZYX``), so that it lines up when shifted to the plane. Its ``memo``
        holds ``plane`` (the plane's index), ``history`` (the recipe) and, where there is something to say, ``note``.

    Raises
    ------
    ParameterError
        If the explainer or one of its parameters is unknown.
    ModelError, AxesError
        If the model is no network, or the class, the pixel, the region or the plane does not exist, or the stack does not fit the model.
    DeviceError
        If the device is absent or its memory is too small.
    """
    entry = EXPLAINERS.get(explainer)
    values = entry.params.build(**params)
    if not bundle.card.get("network"):
        raise ModelError(
            f"{entry.title} looks into networks, and this model of the learner {bundle.card.get('learner', '?')} has none.",
            hint="Choose a model that is a network, for example one of the learner unet.",
        )
    if loaded is None:
        yield Progress(0, 0, "loading the model")
        loaded = load_model(bundle, device=device, precision=precision, threads=threads)
    if precision == "float32" or (precision == "auto" and (target.point or target.region is not None) and "own-precision" not in entry.traits):
        loaded = replace(loaded, forward=loaded.forward.in_float32())
    question = Question(loaded, stack, target)
    drawn: NDArray[np.float32] | None = None
    with _out_of_place(question.network):
        while drawn is None:
            try:
                drawn = yield from entry.function(question, values)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            if drawn is None:
                loaded.forward.free_cache()
                if not question.smaller_parts():
                    raise DeviceError(
                        f"The memory of {loaded.forward.device} is too small to explain this.", hint="Close other programs that use it, or choose --device cpu."
                    )
    wanted = Wanted(stack, [question.plane])
    overlay = np.zeros(wanted.shape, np.float32)
    wanted.put(overlay, question.plane, np.asarray(drawn, np.float32))
    facts = {
        "model": str(bundle.path),
        "model_sha": str(bundle.card.get("weights_sha256", ""))[:16],
        "precision": loaded.forward.precision,
        "class": target.class_value,
        **({"against": target.against} if target.against != -1 else {}),
        "point": list(target.point),
        "plane": list(question.plane),
        **({"region": target.region.facts} if target.region is not None else {}),
        **values.model_dump(mode="json"),
    }
    inputs = {"region": data_sha(target.region.mask)} if target.region is not None else {}
    step = Step(f"explain:{entry.name}", facts, __version__, data_sha(wanted.cut().data), inputs=inputs)
    memo = {"plane": question.plane, "history": (step,), **({"note": question.memo["note"]} if "note" in question.memo else {})}
    return Stack(overlay, stack.label_axes, stack.spacing_um, f"{stack.name} · {entry.title}".strip(" ·"), memo)


@contextlib.contextmanager
def _out_of_place(network: nn.Module) -> Iterator[None]:
    """Compute nothing in place for a while: hooks must see what a layer gave, not what the next made of it."""
    changed: list[Any] = [module for module in network.modules() if getattr(module, "inplace", False)]
    for module in changed:
        module.inplace = False
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True
