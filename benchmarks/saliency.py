"""Explanations against captum at its defaults, in turn, in one process.

    python benchmarks/saliency.py
    python benchmarks/saliency.py --full                 the whole of captum's occlusion: half an hour and more
    python benchmarks/saliency.py --model RUN --image stack.tif

Occlusion of a clicked pixel: window 16, stride 8, on a slice of 512×512. captum shows the network the whole slice once for each of its
3,969 windows, whatever lies in them; so unless ``--full`` is given it does windows of ``--sample-px`` (64), side by side, its time is multiplied, and
the maps of those windows are compared. Gradient, guided backpropagation and Grad-CAM ask about all pixels of the class on the slice;
networks are loaded and warm on both sides. Memory is what an engine takes at its peak above what was held before. "alike" is the correlation of the maps.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from inference import forget_peak, held_bytes, make_model, texture

PATCH, STRIDE = 16, 8


def measured(work: Callable[[], Any]) -> tuple[Any, float, float, float]:
    """Run some work; return its result, seconds, processor seconds, and megabytes at its peak."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # else work after other work finds its memory ready
    before = held_bytes("VmRSS")
    forget_peak()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    result = work()
    spent = time.perf_counter() - begin, time.process_time() - begin_cpu
    return result, *spent, (held_bytes("VmHWM") - before) / 2**20


class Peer:
    """captum on the network as it was trained, in float32."""

    def __init__(self, bundle: Any, plane: np.ndarray, target: int) -> None:
        import torch
        from torch import nn

        from napari_segtool.nets._bundle import load_network
        from napari_segtool.nets._normalise import Normalisation

        torch.set_flush_denormal(True)
        self.network = load_network(bundle)
        for module in self.network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # captum refuses
        self.target = target
        self.batch = torch.from_numpy(Normalisation.from_record(bundle.card["normalisation"]).apply(plane))[None, None]
        with torch.inference_mode():
            mask = self.network(self.batch)[0].argmax(0) == target
        self.mask = mask.clone() if mask.any() else torch.ones_like(mask)

    def score(self, batch: Any) -> Any:
        """The class's logits, summed over the pixels given the class."""
        return (self.network(batch)[:, self.target] * self.mask).flatten(1).sum(1)

    def occlusion(self, point: tuple[int, int], patch: int, stride: int) -> np.ndarray:
        """captum's map at its defaults."""
        import torch
        from captum.attr import Occlusion

        with torch.no_grad():
            ask = Occlusion(lambda batch: self.network(batch)[:, self.target, point[0], point[1]])
            return ask.attribute(self.batch, (1, patch, patch), strides=(1, stride, stride))[0, 0].numpy()

    def gradient(self) -> np.ndarray:
        """Saliency."""
        from captum.attr import Saliency

        return Saliency(self.score).attribute(self.batch.clone().requires_grad_())[0].amax(0).detach().numpy()

    def guided_backprop(self) -> np.ndarray:
        """GuidedBackprop needs a module."""
        import warnings

        from captum.attr import GuidedBackprop
        from torch import nn

        peer = self

        class Scored(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = peer.network

            def forward(self, batch: Any) -> Any:
                return peer.score(batch)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return GuidedBackprop(Scored()).attribute(self.batch.clone().requires_grad_())[0].sum(0).detach().numpy()

    def gradcam(self) -> np.ndarray:
        """LayerGradCam of the bottom, enlarged."""
        from captum.attr import LayerAttribution, LayerGradCam

        made = LayerGradCam(self.score, self.network.bottom).attribute(self.batch, relu_attributions=True)
        return LayerAttribution.interpolate(made, self.batch.shape[2:], "bilinear")[0, 0].detach().numpy()


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two maps."""
    return float(np.corrcoef(np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel())[0, 1])


def occlusion(peer: Peer, loaded: Any, stack: Any, value: int, *, full: bool, sample_px: int) -> None:
    """Print how long the map of a clicked pixel takes."""
    from napari_segtool.core.progress import drain
    from napari_segtool.core.target import Target
    from napari_segtool.explain._explain import explain_steps
    from napari_segtool.explain._occlude import occlude_steps
    from napari_segtool.explain._question import Question
    from napari_segtool.explain._windows import Windows

    shape = stack.data.shape
    target = Target(value, point=(shape[0] // 2 + 3, shape[1] // 2 - 5))
    patch, stride = (PATCH, STRIDE) if full else (sample_px, sample_px)
    whole = int(np.prod([len(along) for along in Windows((PATCH,) * 2, (STRIDE,) * 2).starts(shape)]))
    tried = int(np.prod([len(along) for along in Windows((patch,) * 2, (stride,) * 2).starts(shape)]))

    def ours() -> np.ndarray:
        settings = {"patch_px": PATCH, "stride_px": STRIDE, "fill": "zero"}
        return drain(explain_steps(loaded.bundle, stack, "occlusion", target, loaded=loaded, **settings)).data

    ours()
    made, seconds, work, megabytes = measured(ours)
    theirs, peer_s, peer_work, peer_mb = measured(lambda: peer.occlusion(target.point, patch, stride))
    _, seconds_2, work_2, _ = measured(ours)
    seconds, work = (seconds + seconds_2) / 2, (work + work_2) / 2
    if not full:
        question = Question(replace(loaded, forward=loaded.forward.in_float32()), stack, target)
        made = drain(occlude_steps(question, Windows((patch,) * 2, (stride,) * 2), "zero"))
    told = "" if full else f" (from {tried} of {whole} windows)"
    print(f"occlusion of a pixel, window {PATCH}, stride {STRIDE}: captum {peer_s * whole / tried:.1f} s{told}, ours {seconds:.2f} s")
    print(
        f"    {peer_s * whole / tried / seconds:.0f}× as fast, {peer_work * whole / tried / work:.0f}× by processor time; "
        f"memory {peer_mb:.0f} / {megabytes:.0f} MB; alike {alike(made, theirs):.6f}"
    )


def gradients(peer: Peer, loaded: Any, stack: Any, value: int, rounds: int) -> None:
    """Print how long gradient methods take for the whole slice."""
    from napari_segtool.core.progress import drain
    from napari_segtool.core.registry import EXPLAINERS
    from napari_segtool.core.target import Target
    from napari_segtool.explain._explain import explain_steps

    known = {"gradient": (peer.gradient, {}), "guided-backprop": (peer.guided_backprop, {"show": "sign"}), "gradcam": (peer.gradcam, {"layer": "bottom"})}
    for name, (theirs, settings) in known.items():
        if name not in EXPLAINERS:
            continue
        fields = EXPLAINERS.get(name).params.model_fields
        given = {key: wish for key, wish in settings.items() if key in fields}

        def ours(name: str = name, given: dict[str, Any] = given) -> np.ndarray:
            return drain(explain_steps(loaded.bundle, stack, name, Target(value), loaded=loaded, **given)).data

        ours()
        found: dict[str, list[tuple[Any, float, float, float]]] = {"peer": [], "ours": []}
        for _ in range(rounds):
            found["peer"].append(measured(theirs))
            found["ours"].append(measured(ours))
        peer_s, our_s = (statistics.median(one[1] for one in found[side]) for side in ("peer", "ours"))
        peer_mb, our_mb = (statistics.median(one[3] for one in found[side]) for side in ("peer", "ours"))
        likeness = alike(found["peer"][0][0], found["ours"][0][0])
        took = f"captum {1e3 * peer_s:5.0f} ms, ours {1e3 * our_s:5.0f} ms: {peer_s / our_s:4.1f}×"
        print(f"{name:16} {took}; memory {peer_mb:.0f} / {our_mb:.0f} MB; alike {likeness:.4f}")


def main() -> None:
    """Run both sides in turn and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="run folder or bundle of a 2-D model of one channel; else an untrained U-Net")
    parser.add_argument("--image", type=Path, help="stack whose first slice is explained; else a synthetic texture")
    parser.add_argument("--base-channels", type=int, default=16)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="let captum try all of its windows")
    parser.add_argument("--sample-px", type=int, default=64)
    parser.add_argument("--only", choices=("occlusion", "gradients"))
    options = parser.parse_args()
    import torch

    import napari_segtool
    from napari_segtool.core.stack import Stack
    from napari_segtool.nets._bundle import open_bundle
    from napari_segtool.nets._loaded import load_model

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = options.model or Path(folder) / "model"
        if options.model is None:
            make_model(path, options.base_channels)
        bundle = open_bundle(path)
        plane = texture(1, options.side)[0] if options.image is None else np.asarray(napari_segtool.read(options.image).data)[0]
        loaded = load_model(bundle, device="cpu", threads=options.threads)
        index = len(loaded.values) - 1
        stack, peer = Stack(plane, "YX"), Peer(bundle, plane, index)
        size = "×".join(map(str, plane.shape))
        print(f"{size} {plane.dtype}, {options.threads} thread(s), {loaded.title}, reach {max(loaded.halo)} px, {loaded.forward.precision}")
        if options.only != "gradients":
            occlusion(peer, loaded, stack, loaded.values[index], full=options.full, sample_px=options.sample_px)
        if options.only != "occlusion":
            gradients(peer, loaded, stack, loaded.values[index], options.rounds)


if __name__ == "__main__":
    main()
