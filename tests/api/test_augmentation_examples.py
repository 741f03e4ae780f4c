"""What augmentation makes of an image can be seen before training, without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.errors import PaintError, ParameterError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.core.stack import Stack
from tests.training.blobs import blobs

SMALL = {"patch_px": 32, "depth": 2, "resolution": "full"}


def stack(planes: int = 6, spacing: tuple[float, ...] = (0.05, 0.01, 0.01)) -> tuple[Stack, np.ndarray]:
    image, mask = blobs(planes, 64)
    return Stack(image, "ZYX", spacing, "blobs"), mask


def test_examples_show_image_and_labels_before_and_after() -> None:
    image, mask = stack()
    examples = api.preview_augmentation(image, Labels(mask, "ZYX"), labels_are="mask", count=5, seed=3, dimensions="2-D", augmentation="normal", **SMALL)
    assert len(examples) == 5
    for example in examples:
        assert example.before.shape == example.image.shape == (1, 32, 32)
        assert example.labels.shape == example.labelled.shape == (32, 32)
        assert set(np.unique(example.labels)) <= {0, 1}
        assert example.labelled.any()
        bright = example.before[0] > 0
        assert (bright == (example.labels_before > 0)).mean() > 0.85  # blobs are bright: image and labels belong together
        inside = example.labelled & (np.abs(example.image[0] - example.image[0].mean()) > 0.3)
        assert ((example.image[0] > example.image[0].mean()) == (example.labels > 0))[inside].mean() > 0.8
    assert any(not np.array_equal(example.before, example.image) for example in examples)


def test_without_augmentation_both_pictures_are_the_same() -> None:
    image, mask = stack()
    for example in api.preview_augmentation(image, Labels(mask, "ZYX"), labels_are="mask", count=3, dimensions="2-D", augmentation="none", **SMALL):
        assert (example.before == example.image).all()
        assert (example.labels_before == example.labels).all()


def test_grey_values_on_one_scale_for_all_planes_stay_on_one_scale() -> None:
    image, mask = stack()
    faint = Stack(np.where(np.arange(6)[:, None, None] < 3, image.data, image.data // 4), "ZYX", name="faint")
    settings = {"labels_are": "mask", "count": 12, "dimensions": "2-D", "augmentation": "none", **SMALL}
    plane, fixed = (api.preview_augmentation(faint, Labels(mask, "ZYX"), grey_values=grey, **settings) for grey in ("plane", "fixed"))
    assert np.ptp([example.image.mean() for example in fixed]) > 3 * np.ptp([example.image.mean() for example in plane])


def test_paint_keeps_its_numbers_and_every_example_has_some() -> None:
    image, _ = stack()
    paint = np.zeros(image.shape, np.uint8)
    paint[4, 10:14, 10:14], paint[4, 50:54, 50:54] = 2, 5
    examples = api.preview_augmentation(image, Paint(paint, "ZYX"), labels_are="paint", count=12, **SMALL)
    seen = {int(value) for example in examples for value in np.unique(example.labels[example.labelled])}
    assert seen == {2, 5}
    assert all((example.labels[~example.labelled] == 0).all() for example in examples)


@pytest.mark.parametrize("dimensions", ["2.5-D", "3-D"])
def test_volumes_and_neighbours_are_shown_by_one_plane(dimensions: str) -> None:
    image, mask = stack(12, (0.01, 0.01, 0.01))
    examples = api.preview_augmentation(image, Labels(mask, "ZYX"), labels_are="mask", count=2, dimensions=dimensions, patch_planes=8, **SMALL)
    assert [example.image.shape for example in examples] == [(1, 32, 32)] * 2
    assert all(example.labelled.any() for example in examples)


def test_the_same_seed_shows_the_same_and_em_effects_can_be_asked_for() -> None:
    image, mask = stack()

    def show(seed: int) -> np.ndarray:
        examples = api.preview_augmentation(image, Labels(mask, "ZYX"), labels_are="mask", count=2, seed=seed, modality="em", **SMALL)
        return np.stack([example.image for example in examples])

    assert (show(1) == show(1)).all()
    assert (show(1) != show(2)).any()


def test_bad_input_is_refused_as_training_would() -> None:
    image, _ = stack()
    with pytest.raises(PaintError):
        api.preview_augmentation(image, Paint(np.zeros(image.shape, np.uint8), "ZYX"), labels_are="paint")
    with pytest.raises(ParameterError, match="examples"):
        api.preview_augmentation(image, Paint(np.ones(image.shape, np.uint8), "ZYX"), labels_are="paint", count=0)


def test_torch_is_not_loaded_for_it() -> None:
    code = """
import sys, numpy as np
from napari_segtool import api
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.core.stack import Stack
rng = np.random.default_rng(0)
image = Stack(rng.integers(0, 255, (3, 80, 80)).astype(np.uint8), "ZYX")
api.preview_augmentation(image, rng.integers(0, 2, (3, 80, 80)).astype(np.uint8), labels_are="mask", count=1, patch_px=32, depth=2)
assert not {"torch", "sklearn", "napari"} & set(sys.modules), "loaded"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_guide_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "augmentation.md", "exec"), {})
    assert "(1, 64, 64)" in capsys.readouterr().out
    names = {entry.name.replace("-", " ").split()[0] for entry in AUGMENTATIONS}
    assert all(name in page for name in names)
