"""Make the weights that the U-Net starts from on electron microscopy: trained on sections made by code only, so that nobody's images are in them.

    python benchmarks/pretrain_em.py --run RUN --out napari_segtool/nets/weights/unet_em.safetensors
    python benchmarks/pretrain_em.py --stacks 2 --steps 20 --run /tmp/try --out /tmp/try.safetensors

The ``em`` samples of other seeds than the documentation shows (100 and up) are learned as masks of membrane, cytoplasm and mitochondrion with the
product's own engine and settings. All weights are kept, those of the head too; kernels in half precision.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from safetensors.torch import save_file

from napari_segtool.api._learning import train_steps
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import SAMPLES
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.io.samples.em import CLASS_NAMES, SPACING_UM
from napari_segtool.nets._bundle import load_network

FIRST_SEED = 100
SIZE_PX, SLICES = 512, 4
SETTINGS = {"network": "unet", "dimensions": "2-D", "initialisation": "gaussian", "augmentation": "strong", "scale": 0.48}


def tissue(stacks: int) -> tuple[Stack, Labels]:
    """Sections of that many pieces of tissue, a pile of pictures, and their truth."""
    sample = SAMPLES.get("em")
    made = [sample.function(sample.params.build(seed=FIRST_SEED + n, size_px=SIZE_PX, slices=SLICES)) for n in range(stacks)]
    images, truth = (np.concatenate([pair[part].data for pair in made]) for part in (0, 1))
    return Stack(images, "IYX", SPACING_UM[1:], "em samples"), Labels(truth, "IYX", CLASS_NAMES)


def write_weights(model: ModelBundle, path: Path) -> None:
    """Kernels in half precision, whose steps are far smaller than what a training changes; vectors as they are."""
    state = {name: tensor for name, tensor in load_network(model).state_dict().items() if tensor.is_floating_point()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous() for name, tensor in state.items()}, path)


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", type=int, default=60, help="pieces of tissue, of four sections each")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--run", type=Path, required=True, help="new folder for the training, or one to go on with")
    parser.add_argument("--out", type=Path, required=True, help="file for the weights")
    options = parser.parse_args()
    begun = (options.run / "config.json").exists()
    budget = {"steps": options.steps, "threads": 1, "device": "cpu", "seed": 0, "resume": begun}
    pairs = [] if begun else [tissue(options.stacks)]
    model = drain(train_steps(pairs, "unet", run=options.run, labels_are="mask", **budget, **({} if begun else SETTINGS)))
    write_weights(model, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; held-out scores {model.card['scores']}")


if __name__ == "__main__":
    main()
