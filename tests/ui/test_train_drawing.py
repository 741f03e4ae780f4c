"""The drawing of a network: which box is what."""

from __future__ import annotations

import pytest

from napari_segtool.nets._describe import describe_network
from napari_segtool.ui._train_drawing import BOTTOM, DOWN, HEAD, UP, boxes_of


@pytest.mark.parametrize(
    ("network", "params", "levels"), [("unet", {"depth": 2, "base_channels": 2, "residual": True}, 2), ("unet-efficientnet", {"base_channels": 2}, 5)]
)
def test_only_the_head_gives_classes_and_the_boxes_go_down_and_up(network, params, levels):
    boxes = [box for box in boxes_of(describe_network(network, params, 1, 3, 2, (64, 64))) if box.block is not None]
    assert [box.block.name for box in boxes] == [*(f"down.{n}" for n in range(levels)), "bottom", *(f"up.{n}" for n in range(levels)), "head"]
    assert [box.colour for box in boxes] == [DOWN] * levels + [BOTTOM] + [UP] * levels + [HEAD]
    assert [box.lines[0].split()[1] for box in boxes] == ["channels"] * (2 * levels + 1) + ["classes"]
    assert [box.block.level for box in boxes] == [*range(levels + 1), *reversed(range(levels)), 0]
