"""What each part of a training brings: one setting changed at a time, the same data, budget and seeds, as a table.

    python benchmarks/ablation.py isbi-dense usgra --steps 250 --seeds 0

Tasks and scores are those of ``quality.py``; ``gaps_open`` is the same model's prediction without closed gaps.
Differences below what seeds do to the default say nothing.
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
        heading = True
        for name, settings in VARIANTS.items():
            if options.only and not any(text in name for text in options.only):
                continue
            chosen = {key: value or INSTRUMENT[task] for key, value in settings.items()}
            runs = []
            for seed in options.seeds:
                with tempfile.TemporaryDirectory() as place:
                    options.set = [f"{key}={value}" for key, value in chosen.items()]
                    runs.append(train_and_score(task, seed, chosen, options, Path(place), quiet=True))
            if heading:
                print(f"| {task} | " + " | ".join(runs[0]) + " |\n|" + "---|" * (len(runs[0]) + 1), flush=True)
                heading = False
            print(f"| {name} | " + " | ".join(f"{np.mean([run[key] for run in runs]):.4f}" for key in runs[0]) + " |", flush=True)


if __name__ == "__main__":
    main()
