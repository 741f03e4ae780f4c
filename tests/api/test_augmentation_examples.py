"""What augmentation makes of an image can be seen before training, as the training would draw it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.errors import PaintError, ParameterError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.core.stack import Stack
from napari_segtool.training.before import _examples
from napari_segtool.training.configure import _cost
from napari_segtool.training.configure._chooser import Machine
from napari_segtool.training.data._loader import BatchMaker
from tests.training.blobs import blobs, tiny_run, train

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


@pytest.fixture
def drawn_with(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the maker of the patches was told."""
    told: dict[str, Any] = {}

    class Maker(BatchMaker):
        def __init__(self, *parts: Any, **settings: Any) -> None:
            told.update(settings)
            super().__init__(*parts, **settings)

    monkeypatch.setattr(_examples, "BatchMaker", Maker)
    return told


def alike_volume() -> tuple[Stack, np.ndarray]:
    """Forty sections as alike as neighbours can be, in cubes of a pixel."""
    image, mask = blobs(1, 96)
    noise = np.random.default_rng(1).integers(0, 3, (40, 96, 96)).astype(np.uint8)
    return Stack(image + noise, "ZYX", (0.01, 0.01, 0.01), "alike"), np.repeat(mask, 40, axis=0)


def test_of_the_network_of_2015_the_whole_tile_is_shown_and_labelled_where_it_is_learned_from() -> None:
    image, mask = blobs(1, 600)
    (example,) = api.preview_augmentation(
        Stack(image[0], "YX"), mask[0], labels_are="mask", learner="unet2015", count=1, device="cpu", base_channels=2, elastic_sigma_px=0
    )
    assert example.image.shape == example.before.shape == (1, 572, 572)
    assert example.labels.shape == example.labelled.shape == (572, 572)
    core = np.zeros((572, 572), bool)
    core[92:480, 92:480] = True
    assert not example.labelled[~core].any()
    assert example.labelled[core].mean() > 0.5
    known = example.labelled & (np.abs(example.image[0] - example.image[0].mean()) > 0.3)
    assert ((example.image[0] > example.image[0].mean()) == (example.labels > 0))[known].mean() > 0.8, "the rim shifts no label"


@pytest.mark.parametrize(("device", "dimensions"), [("cpu", "2.5-D"), ("cuda:0", "3-D")])
def test_patches_are_those_of_the_device_that_is_chosen(monkeypatch: pytest.MonkeyPatch, drawn_with: dict[str, Any], device: str, dimensions: str) -> None:
    asked: list[str] = []

    def machine_of(name: str) -> Machine:
        asked.append(name)
        return Machine(device, 1e6)

    monkeypatch.setattr(_cost, "machine_of", machine_of)
    image, mask = alike_volume()
    api.preview_augmentation(image, mask, labels_are="mask", count=1, device=device, base_channels=2, depth=2)
    assert asked == [device]
    assert drawn_with["flat"] == (dimensions == "2.5-D")
    assert (drawn_with["neighbours"] > 0) == (dimensions == "2.5-D")
    assert (drawn_with["patch"][0] > 1) == (dimensions == "3-D")


def test_patches_are_those_of_the_model_to_go_on_from(tmp_path: Path, drawn_with: dict[str, Any]) -> None:
    image, mask = stack()
    run = tiny_run(tmp_path / "run", pairs=[(image, mask)], steps=1, dimensions="2.5-D", neighbours=2, resolution="half")
    drain(train(run))
    settings = {"labels_are": "mask", "count": 1, "device": "cpu", "patch_px": 16, "base_channels": 4}
    api.preview_augmentation(image, mask, **settings)
    assert drawn_with["neighbours"] == 0, "six sections are too few to choose neighbours by itself"
    (example,) = api.preview_augmentation(image, mask, model=run.folder, **settings)
    assert drawn_with["neighbours"] == 2
    assert example.image.shape == (1, 32, 32), "16 px at half resolution"


def test_classes_and_pixel_size_are_those_of_all_images_together() -> None:
    image, _ = blobs(3, 64)
    paint = [np.zeros(image.shape, np.uint8) for _ in range(2)]
    paint[0][1, 10:14, 10:14] = 7
    paint[1][1, 10:14, 10:14], paint[1][2, 30:34, 30:34] = 3, 7
    coarse, fine = (Stack(image, "ZYX", (0.05, size, size)) for size in (0.01, 0.005))
    settings = {"labels_are": "paint", "count": 4, "augmentation": "none", **SMALL}
    seen = api.preview_augmentation(fine, paint[0], others=[(coarse, paint[1]), (coarse, paint[1])], **settings)
    assert {int(value) for example in seen for value in np.unique(example.labels[example.labelled])} == {7}
    alone = api.preview_augmentation(fine, paint[1], **settings)
    squares = [max(example.labelled.sum() for example in found) for found in (seen, alone)]
    assert squares == [4, 16], "with coarser images this one is resampled: a square of 4 px has 2"


def test_the_guide_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "augmentation.md", "exec"), {})
    assert "(1, 64, 64)" in capsys.readouterr().out
    names = {entry.name.replace("-", " ").split()[0] for entry in AUGMENTATIONS}
    assert all(name in page for name in names)
