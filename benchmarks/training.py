"""Samples per second of the complete training step against MONAI and torchio, in turn, in one process tree.

    python benchmarks/training.py
    python benchmarks/training.py --base-channels 16 --batch 8 --steps 10 --rounds 3 --busy
    python benchmarks/training.py --device cuda --steps 100 --workers 8

A step is everything: a batch is drawn, cut, varied and normalised, goes forward and back through the same U-Net, and AdamW moves the weights
(``--optimiser muon``: ours by Muon, as in our default for masks, and the peers' by AdamW). Each
engine runs in a child process of its own, one after the other, round after round; the medians of seconds are compared as ratios, because seconds move
from day to day; processor time (of the training process) counts where other programs run beside. ``loading`` is what making a batch takes by itself as
a share of the step, ``waiting`` how long the step really waited for it. Memory is the peak above the loaded libraries. ``--busy`` keeps a core busy
beside. Ours may leave cores to other programs where that is quicker, as in a training with a budget of time: it is timed once it has tried.

The peers are what their tutorials show: MONAI dictionary transforms (class-balanced crop, elastic and affine deformation in one, flips, contrast,
brightness, gamma, blur, noise) and torchio's (the same), a ``DataLoader``, float32, ``cross_entropy``, AdamW. They crop before they deform, which is
their quickest order. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

ENGINES = {"ours": "", "MONAI": "monai", "torchio": "torchio"}
WARM_UP = 2
Tensors = tuple[Any, Any]


def held_bytes(field: str) -> int:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at most since `forget_peak`."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def texture(planes: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise with dark walls, uint8, and where the walls are."""
    import cv2

    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 6) for _ in range(planes)]
    walls = np.stack([np.abs(plane) < 0.2 * plane.std() for plane in smooth])
    image = np.where(walls, 80, 170) + rng.normal(0, 20, walls.shape)
    return image.clip(0, 255).astype(np.uint8), walls.astype(np.uint8)


def build_network(options: argparse.Namespace) -> Any:
    """The U-Net that all engines train."""
    import torch

    from napari_segtool.core.registry import NETWORKS

    torch.manual_seed(0)
    entry = NETWORKS.get("unet")
    return entry.function(entry.params.build(base_channels=options.base_channels, depth=options.depth), 1, 2, 2)


def our_engine(image: np.ndarray, labels: np.ndarray, options: argparse.Namespace, folder: Path) -> tuple[Callable[[int], float], Callable[[int], Any], str]:
    """Our step, what makes a batch, and a title; the number of threads is settled."""
    import torch

    from napari_segtool.core.terms import Term
    from napari_segtool.nets._normalise import Normalisation
    from napari_segtool.training._plan import Plan
    from napari_segtool.training.data._holdout import Field
    from napari_segtool.training.data._loader import Prefetcher
    from napari_segtool.training.engine._threads import ThreadTuner
    from napari_segtool.training.engine._trainer import Trainer
    from napari_segtool.training.engine._watch import Watch
    from napari_segtool.training.runs._run import Run

    plan = Plan(
        network="unet",
        network_params={"base_channels": options.base_channels, "depth": options.depth},
        patch_px=(1, options.patch, options.patch),
        batch=options.batch,
        loss=(Term("cross-entropy"),),
        precision=options.precision,
        optimiser=options.optimiser,
    )
    fields = tuple(Field(0, z, image[z : z + 1, None], labels[z : z + 1]) for z in range(len(image)))
    trainer = Trainer(plan, fields, channels=1, classes=2, normalisation=Normalisation(), device=options.device, seed=0, watch=Watch(Run(folder, {})))
    trainer.choose_precision()
    maker = trainer.batches()
    prefetcher = Prefetcher(maker, options.workers)
    waited: list[float] = []

    def step(number: int) -> float:
        begun = time.perf_counter()
        batch = prefetcher.take(number)
        waited.append(time.perf_counter() - begun)
        trainer.learn(batch, 1e-3)
        return waited[-1]

    if options.device == "cpu" and torch.get_num_threads() > 1:
        tuner, number = ThreadTuner(torch.get_num_threads()), 0
        while not tuner.tried:
            begun = time.perf_counter()
            step(number)
            tuner.after_step(time.perf_counter() - begun, time.monotonic())
            number += 1
    return step, maker.make, f"ours ({trainer.precision}, {torch.get_num_threads()} threads)"


def peer_engine(batches: Iterator[Tensors], options: argparse.Namespace) -> Callable[[int], float]:
    """The plain loop: float32, the usual memory layout."""
    import torch

    network = build_network(options).to(options.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step(_number: int) -> float:
        begun = time.perf_counter()
        images, target = next(batches)
        waited = time.perf_counter() - begun
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images.to(options.device)), target.to(options.device))
        loss.backward()
        optimizer.step()
        loss.item()
        return waited

    return step


def endless(dataset: Any, options: argparse.Namespace, workers: int) -> Iterator[Any]:
    """Batches of a ``DataLoader`` without end."""
    from torch.utils.data import DataLoader

    while True:
        yield from DataLoader(dataset, batch_size=options.batch, num_workers=workers, drop_last=True)


def monai_batches(image: np.ndarray, labels: np.ndarray, options: argparse.Namespace, workers: int) -> Iterator[Tensors]:
    """Batches by MONAI's dictionary transforms."""
    import torch
    from monai import transforms as t
    from monai.data import Dataset

    both, size = ["image", "label"], (options.patch, options.patch)
    pipeline = t.Compose(
        [
            t.RandCropByLabelClassesd(both, label_key="label", spatial_size=size, num_classes=2, num_samples=1),
            t.Rand2DElasticd(
                both,
                spacing=(32, 32),
                magnitude_range=(0, 4),
                prob=1,
                rotate_range=np.pi,
                scale_range=0.2,
                mode=("bilinear", "nearest"),
                padding_mode="reflection",
            ),
            t.RandFlipd(both, prob=0.5, spatial_axis=0),
            t.RandFlipd(both, prob=0.5, spatial_axis=1),
            t.RandScaleIntensityd("image", factors=0.25, prob=1),
            t.RandShiftIntensityd("image", offsets=0.25, prob=1),
            t.RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.4)),
            t.RandGaussianSmoothd("image", prob=0.2, sigma_x=(0.3, 1.2), sigma_y=(0.3, 1.2)),
            t.RandGaussianNoised("image", prob=0.3, std=0.25),
            t.ToTensord(both, track_meta=False),
        ]
    )
    planes = [{"image": normalised(plane), "label": torch.from_numpy(marks[None].astype(np.float32))} for plane, marks in zip(image, labels, strict=True)]
    chosen = [planes[i % len(planes)] for i in range(max(64, len(planes)) // options.batch * options.batch + options.batch)]
    for parts in endless(Dataset(chosen, pipeline), options, workers):
        part = parts[0] if isinstance(parts, list) else parts
        yield part["image"].float(), part["label"][:, 0].long()


def torchio_batches(image: np.ndarray, labels: np.ndarray, options: argparse.Namespace, workers: int) -> Iterator[Tensors]:
    """Batches by torchio's transforms."""
    import torch
    import torchio as tio

    size = (1, options.patch, options.patch)
    vary = tio.Compose(
        [
            tio.RandomFlip(axes=(1, 2)),
            tio.RandomAffine(scales=(1, 1, 0.8, 1.2, 0.8, 1.2), degrees=(-180, 180, 0, 0, 0, 0), default_pad_value="mean"),
            tio.RandomElasticDeformation(num_control_points=(5, 8, 8), max_displacement=(0, 4, 4), locked_borders=0),
            tio.RandomGamma(log_gamma=0.35, p=0.3),
            tio.RandomBlur(std=(0, 0, 0.3, 1.2, 0.3, 1.2), p=0.2),
            tio.RandomNoise(std=(0, 0.25), p=0.3),
        ]
    )
    subjects = [
        tio.Subject(image=tio.ScalarImage(tensor=normalised(plane)[None]), label=tio.LabelMap(tensor=torch.from_numpy(marks)[None, None]))
        for plane, marks in zip(image, labels, strict=True)
    ]
    sampler = tio.LabelSampler(size, label_name="label", label_probabilities={0: 1, 1: 1})

    class Patches(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return max(64, len(subjects)) // options.batch * options.batch

        def __getitem__(self, index: int) -> Tensors:
            patch = vary(next(sampler(subjects[index % len(subjects)], 1)))
            return patch["image"].data[:, 0].float(), patch["label"].data[0, 0].long()

    yield from endless(Patches(), options, workers)


def normalised(plane: np.ndarray) -> Any:
    """A plane ``(1, Y, X)`` with mean 0 and deviation 1."""
    import torch

    return torch.from_numpy(((plane - plane.mean()) / plane.std()).astype(np.float32))[None]


def run_engine(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Child process: train a few steps and say what they took."""
    import warnings

    import torch

    from napari_segtool.nets._forward import flushed_denormals
    from napari_segtool.training.engine._heap import kept_heap

    warnings.simplefilter("ignore")  # of the peers' own libraries
    torch.set_num_threads(options.threads or torch.get_num_threads())
    image, labels = texture(options.planes, options.side) if options.image is None else read(options)
    before = held_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    ours = kept_heap() if name == "ours" else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as folder, flushed_denormals(), ours:
        if name == "ours":
            step, make, title = our_engine(image, labels, options, Path(folder))
        else:
            torch.set_flush_denormal(False)  # as their users have it
            source = monai_batches if name == "MONAI" else torchio_batches
            step, title = peer_engine(source(image, labels, options, options.workers), options), f"{name} (float32)"
            alone = source(image, labels, options, 0)

            def make(_number: int) -> Any:
                return next(alone)

        times, waits = [], []
        begun_cpu = 0.0
        for number in range(WARM_UP + options.steps):
            if number == WARM_UP:
                begun_cpu = time.process_time()
            begun = time.perf_counter()
            waits.append(step(number))
            if options.device != "cpu":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        cpu_seconds = (time.process_time() - begun_cpu) / options.steps
        peak = held_bytes("VmHWM") - before
        loads = []
        for number in range(1 + min(options.steps, 5)):
            begun = time.perf_counter()
            make(10_000 + number)
            loads.append(time.perf_counter() - begun)
    seconds = statistics.mean(times[WARM_UP:])
    result = {
        "title": title,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "waiting": statistics.mean(waits[WARM_UP:]),
        "loading": statistics.median(loads[1:]),
    }
    return {**result, "megabytes": peak / 2**20}


def read(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The user's stack and its labels, 0 and everything else."""
    import napari_segtool

    image, labels = (np.asarray(napari_segtool.read(path).data)[: options.planes] for path in (options.image, options.labels))
    return image, (labels > 0).astype(np.uint8)


def main() -> None:
    """Run the engines in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="stack of planes; else a synthetic texture")
    parser.add_argument("--labels", type=Path, help="its labels: 0 and not 0")
    parser.add_argument("--planes", type=int, default=20)
    parser.add_argument("--side", type=int, default=512, help="of the synthetic texture")
    parser.add_argument("--base-channels", type=int, default=32)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6, help="steps in each round, after two to warm up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 takes its own choice")
    parser.add_argument("--workers", type=int, default=0, help="processes of the peers' DataLoader; threads of ours, 0 as many as it needs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", help="of our engine")
    parser.add_argument("--optimiser", default="adamw", choices=("adamw", "muon"), help="of our engine; the peers have AdamW, masks are learned with Muon")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--busy", action="store_true", help="keep one core busy beside")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(run_engine(options.engine, options)))
        return
    engines = [name for name in options.engines if not ENGINES[name] or importlib.util.find_spec(ENGINES[name])]
    for name in set(options.engines) - set(engines):
        print(f"{name} is not installed and left out.")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if options.busy else None
    try:
        for _ in range(options.rounds):
            for name in engines:
                done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--engine", name], capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{name} failed:\n{done.stderr}")
                results[name].append(json.loads(done.stdout.splitlines()[-1]))
    finally:
        if busy is not None:
            busy.terminate()
            busy.wait()
    medians = {name: {key: statistics.median(r[key] for r in found) for key in found[0] if key != "title"} for name, found in results.items()}
    print(
        f"batch {options.batch} of {options.patch}², U-Net of {options.base_channels} channels, {options.threads or 'all'} threads, {options.rounds} rounds "
        f"of {options.steps} steps in turn{', one busy process beside' if options.busy else ''}"
    )
    for name, m in medians.items():
        faster, cheaper = (m[key] / medians["ours"][key] if "ours" in medians else 1.0 for key in ("seconds", "cpu_seconds"))
        against = f"; ours is {faster:5.2f}× as fast, {cheaper:5.2f}× by processor time" if name != "ours" else ""
        step, loading, waiting = (1000 * m[key] for key in ("seconds", "loading", "waiting"))
        print(
            f"{results[name][0]['title']:26} {1000 * options.batch / step:7.2f} samples/s; step {step:6.0f} ms, loading {loading:5.0f} ms "
            f"= {100 * loading / step:4.1f} %, waiting {100 * waiting / step:4.1f} %; {m['megabytes']:5.0f} MB{against}"
        )
    if options.json:
        options.json.write_text(json.dumps({"options": {k: str(v) for k, v in vars(options).items()}, "rounds": results, "medians": medians}, indent=1))


if __name__ == "__main__":
    main()
