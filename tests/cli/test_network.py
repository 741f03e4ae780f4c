"""``segtool network``: the table, its numbers, and what it refuses."""

from __future__ import annotations

import json

import napari_segtool as segtool


def test_the_table_shows_layers_with_shapes_parameters_receptive_field_and_memory(command):
    assert command("network", "unet2015", "--patch", "388,388") == 0
    lines = command.out.splitlines()
    assert lines[0] == "U-Net of 2015: 1 channel(s), 2 classes, 2-D, for 1 patch of 388 × 388 pixels"
    assert any(line.split() == ["input", "1", "×", "572", "×", "572"] for line in lines)
    bottom = next(line for line in lines if line.startswith("bottom"))
    # Two 3-wide convolutions, of 512 and of 1024 channels, to 1024.
    assert f"{(512 * 9 + 1) * 1024 + (1024 * 9 + 1) * 1024:,}" in bottom
    assert "1024 × 28 × 28" in bottom
    assert next(line for line in lines if line.startswith("up.3")).endswith("with down.0")
    assert "receptive field  204 × 204 pixels, measured 204 × 204" in lines
    assert any(line.startswith("memory") and "GB to train" in line for line in lines)


def test_settings_three_axes_and_neighbours_are_taken(command):
    assert command("network", "unet", "--patch", "8,32,32", "--set", "depth=2", "--set", "z-factors=1,2", "--json") == 0
    record = json.loads(command.out)
    assert record["spatial"] == 3
    assert record["multiple"] == [2, 4, 4]
    assert command("network", "unet", "--patch", "64x64", "--neighbours", 2, "--channels", 3, "--set", "depth=1", "--json") == 0
    assert json.loads(command.out)["blocks"][0]["shape_in"] == [15, 64, 64]


def test_every_single_layer_is_shown_where_asked_for(command):
    assert command("network", "unet", "--set", "depth=1", "--set", "activation=gelu", "--layers") == 0
    assert command.out.count("GELU") == 6
    assert "down.0.0" in command.out


def test_what_cannot_be_is_refused_in_one_message(command):
    for words in (["unit"], ["unet", "--patch", "a,b"], ["unet", "--patch", "4"], ["unet", "--set", "depht=3"], ["unet2015", "--patch", "8,64,64"]):
        assert command("network", *words) == 2
        assert command.err.startswith("segtool: ")
        assert "Traceback" not in command.err
    assert command("network", "unet", "--neighbours", "1", "--patch", "8,32,32") == 2


def test_the_verb_gives_what_the_command_shows():
    drawing = segtool.describe_network("unet", depth=3, base_channels=8, channels=2, classes=4)
    assert drawing.patch_px == (256, 256)
    assert (drawing.blocks[0].shape_in[0], drawing.blocks[-1].shape_out[0]) == (2, 4)
