"""Tiled prediction against the sliding window that most people use, in turn, in one process tree.

    python benchmarks/inference.py
    python benchmarks/inference.py --model RUN --image stack.tif --rounds 5

Each engine runs in a child process of its own, one after the other, round after round; the medians of seconds are compared
as ratios, because seconds move from day to day; processor time counts where other programs run beside. Memory is what a
prediction takes at its peak above the loaded libraries and the loaded model. "equal" is the share of pixels with the label
that the untiled float32 network gives.

The peer is MONAI's ``sliding_window_inference`` (window 256, overlap 0.25, Gaussian weights, float32) where MONAI is installed, else
the same loop in plain torch, and is named so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

ENGINES = ("peer", "ours float32", "ours auto")


def held_bytes(field: str) -> int:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at most since `forget_peak`."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def forget_peak() -> None:
    """Start measuring the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def texture(planes: int, side: int) -> np.ndarray:
    """Smooth noise with dark walls, uint8."""
    import cv2

    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 4) for _ in range(planes)]
    return np.stack([np.clip(128 + 900 * np.abs(plane) - 60 + rng.normal(0, 12, plane.shape), 0, 255).astype(np.uint8) for plane in smooth])


def make_model(folder: Path, base_channels: int) -> None:
    """An untrained U-Net with lively statistics, saved as a bundle."""
    import torch

    from napari_segtool.nets._bundle import save_bundle
    from napari_segtool.nets.unet import UNetParams, build_unet

    torch.manual_seed(0)
    params = UNetParams(base_channels=base_channels)
    network = build_unet(params, 1, 2, 2)
    network.train()
    with torch.no_grad():
        plane = texture(1, 256)[0].astype(np.float32)
        network(torch.from_numpy((plane - plane.mean()) / plane.std())[None, None])
    card = {
        "learner": "unet",
        "network": "unet",
        "network_params": params.model_dump(),
        "channels": 1,
        "spatial": 2,
        "classes": [{"value": 0, "name": "a"}, {"value": 1, "name": "b"}],
        "normalisation": {"kind": "plane", "mean": [], "deviation": []},
    }
    save_bundle(folder, network.eval(), card)


def sliding_window(network: Any, plane: Any, classes: int, window: int = 256, overlap: float = 0.25) -> tuple[Any, str]:
    """Predict one plane ``(1, C, Y, X)`` the usual way."""
    import torch

    try:
        from monai.inferers import sliding_window_inference

        return sliding_window_inference(plane, (window, window), 1, network, overlap=overlap, mode="gaussian"), "MONAI"
    except ImportError:
        pass
    height, width = plane.shape[-2:]
    step = int(window * (1 - overlap))
    line = torch.exp(-0.5 * ((torch.arange(window) - (window - 1) / 2) / (0.125 * window)) ** 2)
    weight = (line[:, None] * line).clamp_min(1e-3)
    total, counted = torch.zeros(1, classes, height, width), torch.zeros(1, 1, height, width)
    starts = [sorted({min(i, max(0, n - window)) for i in range(0, n, step) if i < max(1, n - window + step)}) for n in (height, width)]
    for y in starts[0]:
        for x in starts[1]:
            total[..., y : y + window, x : x + window] += network(plane[..., y : y + window, x : x + window]) * weight
            counted[..., y : y + window, x : x + window] += weight
    return total / counted, "MONAI's settings in plain torch"


def run_engine(name: str, model: Path, image: Path, threads: int, rounds_file: Path) -> None:
    """Child process: load, warm up, predict once, and print what it took."""
    import torch

    from napari_segtool.core.progress import drain
    from napari_segtool.core.stack import Stack
    from napari_segtool.inference._predict import predict_steps
    from napari_segtool.nets._bundle import load_network, open_bundle
    from napari_segtool.nets._loaded import load_model
    from napari_segtool.nets._normalise import Normalisation

    torch.set_num_threads(threads)
    bundle, pixels = open_bundle(model), np.load(image)
    classes = len(bundle.card["classes"])
    normalise = Normalisation.from_record(bundle.card["normalisation"]).apply
    title = name
    if name in ("peer", "untiled"):
        torch.set_flush_denormal(True)
        network = load_network(bundle)

        def predict() -> np.ndarray:
            nonlocal title
            labels = []
            with torch.inference_mode():
                for plane in pixels:
                    batch = torch.from_numpy(normalise(plane))[None, None]
                    if name == "untiled":
                        logits = network(batch)
                    else:
                        logits, title = sliding_window(network, batch, classes)
                    labels.append(logits.argmax(1)[0].to(torch.uint8).numpy())
            return np.stack(labels)

        with torch.inference_mode():
            network(torch.zeros(1, 1, 256, 256))
    else:
        loaded = load_model(bundle, device="cpu", precision="float32" if "float32" in name else "auto", threads=threads)

        def predict() -> np.ndarray:
            precision = "float32" if "float32" in name else "auto"
            return np.asarray(drain(predict_steps(bundle, Stack(pixels, "ZYX"), loaded=loaded, precision=precision, mirror="off")).labels.data)

        title = f"{name} ({loaded.forward.precision})"
    before = held_bytes("VmRSS")
    forget_peak()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    labels = predict()
    spent_s, spent_cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    np.save(rounds_file, labels)
    print(json.dumps({"title": title, "seconds": spent_s, "cpu_seconds": spent_cpu_s, "megabytes": (held_bytes("VmHWM") - before) / 2**20}))


def main() -> None:
    """Run the engines in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="run folder or bundle of a 2-D model of one channel; else an untrained U-Net")
    parser.add_argument("--image", type=Path, help="stack to predict; else a synthetic texture")
    parser.add_argument("--base-channels", type=int, default=16)
    parser.add_argument("--planes", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--labels", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        run_engine(options.engine, options.model, options.image, options.threads, options.labels)
        return
    with tempfile.TemporaryDirectory() as folder:
        model, image = options.model or Path(folder) / "model", Path(folder) / "image.npy"
        if options.model is None:
            make_model(model, options.base_channels)
        if options.image is None:
            pixels = texture(options.planes, options.side)
        else:
            import napari_segtool

            pixels = np.asarray(napari_segtool.read(options.image).data)[: options.planes]
        np.save(image, pixels)
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
        equal: dict[str, float] = {}
        ask = [sys.executable, __file__, "--model", str(model), "--image", str(image), "--threads", str(options.threads)]
        subprocess.run([*ask, "--engine", "untiled", "--labels", f"{folder}/untiled.npy"], check=True, capture_output=True)
        truth = np.load(f"{folder}/untiled.npy")
        for _ in range(options.rounds):
            for name in ENGINES:
                done = subprocess.run([*ask, "--engine", name, "--labels", f"{folder}/labels.npy"], check=True, capture_output=True, text=True)
                results[name].append(json.loads(done.stdout.splitlines()[-1]))
                equal[name] = float((np.load(f"{folder}/labels.npy") == truth).mean())

    def median(name: str, what: str) -> float:
        return statistics.median(round_[what] for round_ in results[name])

    print(f"{'×'.join(map(str, pixels.shape))} {pixels.dtype}, {options.threads} thread(s), {options.rounds} rounds in turn")
    for name in ENGINES:
        faster, cheaper = (median("peer", what) / median(name, what) for what in ("seconds", "cpu_seconds"))
        print(
            f"{results[name][0]['title']:34} {median(name, 'seconds'):6.2f} s = {faster:5.2f}× as fast, {cheaper:5.2f}× by processor time; "
            f"{median(name, 'megabytes'):4.0f} MB; equal {100 * equal[name]:.3f} %"
        )


if __name__ == "__main__":
    main()
