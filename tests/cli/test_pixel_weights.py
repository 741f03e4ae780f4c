"""``segtool train --weights``: how much each pixel counts, from a file."""

import numpy as np

import napari_segtool as segtool

SMALL = ["--set", "base_channels=2", "--set", "depth=1", "--set", "patch_px=32", "--set", "batch=1", "--steps", 1, "--device", "cpu"]


def test_weights_from_a_file_are_kept_in_the_run(command, image, truth, tmp_path):
    weights = np.random.default_rng(0).uniform(0.5, 2, (3, 48, 48)).astype(np.float32)
    segtool.write(segtool.Stack(weights, "ZYX", (0.05, 0.004, 0.004)), tmp_path / "weights.tif")
    assert command("train", "-i", image, "-l", truth, "-w", tmp_path / "weights.tif", "-o", tmp_path / "run", *SMALL) == 0
    assert np.array_equal(np.load(tmp_path / "run" / "data" / "0-weights.npy"), weights)


def test_fewer_weights_than_images_are_refused(command, image, truth, tmp_path):
    assert command("train", "-i", image, "-l", truth, "-i", image, "-l", truth, "-w", image, "-o", tmp_path / "run", *SMALL) == 2
    assert "one -w for each -i" in command.err
    assert not (tmp_path / "run").exists()


def test_weights_below_zero_are_refused(command, image, truth, tmp_path):
    segtool.write(segtool.Stack(np.full((3, 48, 48), -1, np.float32), "ZYX"), tmp_path / "weights.tif")
    assert command("train", "-i", image, "-l", truth, "-w", tmp_path / "weights.tif", "-o", tmp_path / "run", *SMALL) == 2
    assert "cannot be negative" in command.err
    assert not (tmp_path / "run").exists()
