"""How well the learners do on real data they have not seen: one line for each training.

    python benchmarks/quality.py isbi-dense isbi-paint mitochondria usgra-split --minutes 10 --seeds 0 1 2
    python benchmarks/quality.py isbi-dense --steps 200 --set base_channels=16 --seeds 0 1

What is scored is what a user gets: labels and probabilities of the prediction with the model's own settings.

Tasks
-----
isbi-dense
    ISBI 2012 EM: dense masks of slices 0–14, scored on slices 15–19 by V_Rand of the challenge: at its best threshold, and the labels as they come.
isbi-paint
    The same stack, from strokes on slices 2, 7 and 12 (``annotate.strokes.simulated_strokes``): at most 1 % of their pixels.
mitochondria
    EPFL hippocampus FIB-SEM: masks of slices 0–7, IoU on slices 8–10.
speed
    Steps of the engine against those of a plain loop (float32, the usual memory layout, batches made in between), in turn.
usgra-split
    Ultrasound of nerves and vessels, 60 images: masks of 48, mean Dice of nerve and vessel on the twelve that the set's authors test on.
usgra
    The same by cross-validation in four parts: seed s is scored on the images whose number leaves s when divided by 4, and learns from the
    other 45, so that seeds 0 to 3 score each image once.

The data lie beside the checkout (``../shared/data``) or where ``SEGTOOL_TEST_DATA`` says; nothing of them is shipped.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import tifffile

import napari_segtool as segtool
from napari_segtool.annotate.strokes import simulated_strokes
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LEARNERS, NETWORKS
from napari_segtool.core.result import Prediction
from napari_segtool.core.stack import Stack
from napari_segtool.evaluate.isbi import v_rand
from napari_segtool.evaluate.overlap import ClassOverlap, class_overlap

DATA = Path(os.environ.get("SEGTOOL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def tested_by_authors(_seed: int) -> np.ndarray:
    """Which images of the ultrasound set its authors keep for testing."""
    sources = (DATA / "usgra_nerve_vessel_us" / "sources.txt").read_text(encoding="utf-8").split()[1::2]
    return np.array(["/test/" in source for source in sources])


USGRA: dict[str, Callable[[int], np.ndarray]] = {
    "usgra-split": tested_by_authors,
    "usgra": lambda seed: np.arange(60) % 4 == seed % 4,
}
"""Which of the 60 images are held out, for a seed."""


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of a data set."""
    return tifffile.imread(DATA / folder / "image.tif"), tifffile.imread(DATA / folder / "labels.tif")


def task_data(task: str, seed: int = 0) -> tuple[Stack, Labels | Paint, Stack, np.ndarray]:
    """What to train on, and the images and truth to score on."""
    if task in USGRA:
        image, labels = read("usgra_nerve_vessel_us")
        held = USGRA[task](seed)
        return Stack(image[~held], "IYX", name="usgra"), Labels(labels[~held], "IYX"), Stack(image[held], "IYX"), labels[held]
    if task == "mitochondria":
        folder, spacing = DATA / "epfl_ca1_multiclass", (0.005, 0.005, 0.005)
        image, labels = tifffile.imread(folder / "train_image.tif"), tifffile.imread(folder / "labels_train_mitochondrion.tif")
        return Stack(image[:8], "ZYX", spacing, "epfl"), Labels(labels[:8], "ZYX"), Stack(image[8:], "ZYX", spacing), labels[8:]
    image, labels = read("isbi2012_em")
    spacing = (0.05, 0.004, 0.004)
    stack, seen = Stack(image[:15], "ZYX", spacing, "isbi"), Stack(image[15:], "ZYX", spacing)
    if task == "isbi-dense":
        return stack, Labels(labels[:15], "ZYX"), seen, labels[15:]
    paint = simulated_strokes((labels[:15] > 0).astype(np.uint8), (2, 7, 12), fraction=0.01, seed=0)
    return stack, Paint(paint, "ZYX", ("membrane", "cell")), seen, labels[15:]


def score(task: str, result: Prediction, truth: np.ndarray) -> dict[str, float]:
    """Scores of held-out planes."""
    labels = np.asarray(result.labels.data)
    chances = np.asarray(result.probabilities.data) if result.probabilities is not None else np.zeros(0)
    if task in USGRA:
        dice = {name: overlap(labels == index, truth == index).dice for index, name in ((1, "nerve"), (2, "vessel"))}
        return {"dice": (dice["nerve"] + dice["vessel"]) / 2, **dice}
    if task == "mitochondria":
        both = overlap(labels == labels.max(), truth > 0)
        return {"iou": both.iou, "dice": both.dice}
    best, own = v_rand(chances[1], truth), v_rand((labels == labels.max()).astype(np.uint8), truth)
    return {
        "v_rand": best.score,
        "split": best.split,
        "merge": best.merge,
        "threshold": best.threshold,
        "v_rand_labels": own.score,
        "pixel_error": float(((labels == labels.max()) != (truth > 0)).mean()),
    }


def overlap(guess: np.ndarray, truth: np.ndarray) -> ClassOverlap:
    """How well two masks agree."""
    return class_overlap(np.array([[(~guess & ~truth).sum(), (guess & ~truth).sum()], [(~guess & truth).sum(), (guess & truth).sum()]]), 1)


def compare_speed(settings: dict[str, str], rounds: int = 5) -> None:
    """Time one step of the engine and of a plain loop in turn, and print medians of wall clock and processor time."""
    import torch

    from napari_segtool.nets._forward import flushed_denormals
    from napari_segtool.training.data._loader import Prefetcher
    from napari_segtool.training.engine._session import Sitting
    from napari_segtool.training.learners.unet import plan_unet
    from napari_segtool.training.runs._events import EventLog
    from napari_segtool.training.runs._run import create_run

    stack, marks, _, _ = task_data("isbi-dense")
    with tempfile.TemporaryDirectory() as place:
        params = LEARNERS.get("unet").params.build(**settings)
        run = create_run(Path(place) / "run", [(stack, marks)], "unet", params, labels_are="mask", steps=1, device="cpu")
        sitting = Sitting(run, plan_unet(run), EventLog(run.event_path))
        trainer, maker = sitting.trainer, sitting.trainer.batches()
        plan = sitting.plan
        entry = NETWORKS.get(plan.network)
        plain = entry.function(entry.params.build(**plan.network_params), 1, 2, 2)
        optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)
        prefetcher = Prefetcher(maker)

        def plain_step(step: int) -> None:
            batch = maker.make(step)
            loss = torch.nn.functional.cross_entropy(plain(torch.from_numpy(batch.images)), torch.from_numpy(batch.classes).long(), ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        def engine_step(step: int) -> None:
            with flushed_denormals():
                trainer.learn(prefetcher.take(step), 1e-3)

        times: dict[str, list[tuple[float, float]]] = {"plain": [], "engine": []}
        for step in range(rounds + 1):
            for name, work in (("plain", plain_step), ("engine", engine_step)):
                wall, processor = time.perf_counter(), time.process_time()
                work(step)
                times[name].append((time.perf_counter() - wall, time.process_time() - processor))
        prefetcher.close()
    medians = {name: np.median(spent[1:], axis=0) for name, spent in times.items()}
    ratio = medians["plain"] / medians["engine"]
    spent = ", ".join(f"{name} {wall:.2f} s ({processor:.2f} s of processor)" for name, (wall, processor) in medians.items())
    print(
        f"speed {settings} {trainer.precision}, {torch.get_num_threads()} threads: {spent}; {ratio[0]:.1f} times as quick ({ratio[1]:.1f} by processor time)",
        flush=True,
    )


def main() -> None:
    """Train and score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", choices=("isbi-dense", "isbi-paint", "mitochondria", *USGRA, "speed"))
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the learner")
    parser.add_argument("--learner", default="unet")
    parser.add_argument("--threads", type=int, default=0, help="processor cores; 0 for all")
    parser.add_argument("--keep", default="", help="folder to keep the runs in")
    options = parser.parse_args()
    settings = dict(item.split("=", 1) for item in options.set)
    for task in options.tasks:
        if task == "speed":
            import torch

            if options.threads:
                torch.set_num_threads(options.threads)
            compare_speed(settings)
            continue
        figures = []
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as place:
                figures.append(train_and_score(task, seed, settings, options, Path(options.keep or place)))
        if len(figures) > 1:
            means = " ".join(f"{name} {np.mean([each[name] for each in figures]):.4f}" for name in figures[0])
            print(f"{task} mean of seeds {options.seeds}: {means}", flush=True)


def train_and_score(task: str, seed: int, settings: dict[str, str], options: argparse.Namespace, place: Path, *, quiet: bool = False) -> dict[str, float]:
    """Train once, print a line unless ``quiet``, and return the scores; of membranes also those of the prediction without closed gaps."""
    from napari_segtool.training.runs._run import create_run

    stack, marks, images, truth = task_data(task, seed)
    entry = LEARNERS.get(options.learner)
    folder = place / f"{task}-{seed}-{time.time():.0f}"
    begun, worked = time.time(), time.process_time()
    run = create_run(
        folder,
        [(stack, marks)],
        options.learner,
        entry.params.build(**settings),
        labels_are="paint" if task == "isbi-paint" else "mask",
        minutes=options.minutes,
        steps=options.steps,
        seed=seed,
        device="cpu",
        threads=options.threads,
    )
    bundle = drain(entry.function(run))
    took, worked = time.time() - begun, time.process_time() - worked
    figures = score(task, segtool.predict(folder, images, device="cpu"), truth)
    if "v_rand" in figures:
        figures["gaps_open"] = score(task, segtool.predict(folder, images, device="cpu", close_gaps=False), truth)["v_rand"]
    if quiet:
        return figures
    text = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
    kept = f"weights of step {bundle.card['trained']['steps']}, held-out Dice {bundle.card['scores']['dice']:.4f}"
    print(f"{task} seed {seed} {options.set} {took:.0f} s ({worked:.0f} s of processor), {kept}: {text}", flush=True)
    return figures


if __name__ == "__main__":
    main()
