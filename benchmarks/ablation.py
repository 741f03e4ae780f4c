"""What each part of a training brings: one setting changed at a time, the same data, budget and seeds, as a table.

    python benchmarks/ablation.py isbi-dense --steps 150 --seeds 0 1 2 --threads 1
    python benchmarks/ablation.py usgra --steps 150 --seeds 0 1 2 3 --threads 1

Tasks and scores are those of ``quality.py``, means of the seeds; ``gaps_open`` is the same model's prediction without closed gaps.
The last two columns are about what a user gets, the labels: the score of each seed, and the mean difference from the default,
seed by seed, with its standard error. A difference of less than two standard errors says nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from quality import USGRA, train_and_score

VARIANTS: dict[str, dict[str, str]] = {
    "default": {},
    "AdamW": {"optimiser": "adamw"},
    "without weight averaging (EMA)": {"average_steps": "0"},
    "border weight map, w₀ = 10, σ = 5": {"border_weight": "10"},
    "cross-entropy alone": {"loss": "cross-entropy"},
    "Dice alone": {"loss": "dice"},
    "without elastic deformation": {"elastic_px": "0"},
    "elastic deformation of 2015 (σ = 10 px on 3 × 3)": {"elastic_px": "0", "elastic_sigma_px": "10"},
    "no augmentation": {"augmentation": "none"},
    "light augmentation": {"augmentation": "light"},
    "normal augmentation": {"augmentation": "normal"},
    "strong augmentation": {"augmentation": "strong"},
    "effects of the instrument": {"modality": ""},
    "Kaiming's first weights": {"initialisation": "kaiming"},
    "residual blocks": {"residual": "true"},
}
INSTRUMENT = {"isbi-dense": "em", "isbi-paint": "em", "mitochondria": "em", **dict.fromkeys(USGRA, "ultrasound")}


def main() -> None:
    """Train every variant and print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", choices=tuple(INSTRUMENT))
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="variants whose names hold one of these")
    parser.add_argument("--learner", default="unet")
    parser.add_argument("--threads", type=int, default=0, help="processor cores; 0 for all")
    options = parser.parse_args()
    for task in options.tasks:
        default: np.ndarray | None = None
        for name, settings in VARIANTS.items():
            if options.only and name != "default" and not any(text in name for text in options.only):
                continue
            chosen = {key: value or INSTRUMENT[task] for key, value in settings.items()}
            runs = []
            for seed in options.seeds:
                with tempfile.TemporaryDirectory() as place:
                    runs.append(train_and_score(task, seed, chosen, options, Path(place), quiet=True))
            of_labels = np.array([run["v_rand_labels" if "v_rand" in run else next(iter(run))] for run in runs])
            if default is None:
                default = of_labels
                print(f"| {task} | {' | '.join(runs[0])} | labels, each seed | against the default |\n|{'---|' * (len(runs[0]) + 3)}", flush=True)
            means = " | ".join(f"{np.mean([run[key] for run in runs]):.4f}" for key in runs[0])
            print(f"| {name} | {means} | {' '.join(f'{value:.3f}' for value in of_labels)} | {compared(of_labels, default)} |", flush=True)


def compared(scores: np.ndarray, default: np.ndarray) -> str:
    """Mean difference of scores from the default's, seed by seed, and its standard error where there are several seeds."""
    apart = scores - default
    if len(apart) < 2 or not apart.any():
        return f"{apart.mean():+.3f}"
    return f"{apart.mean():+.3f} ± {apart.std(ddof=1) / len(apart) ** 0.5:.3f}"


if __name__ == "__main__":
    main()
