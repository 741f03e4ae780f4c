"""What is said of a network before it is trained: shapes, skips, parameters and memory, against the network at work."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._describe import describe_network
from napari_segtool.nets._drawing import NetworkDrawing, Skip
from napari_segtool.nets._memory import PeakMemory


def built(name: str, spatial: int, channels: int = 1, classes: int = 2, **params: Any) -> nn.Module:
    entry = NETWORKS.get(name)
    network: nn.Module = entry.function(entry.params.build(**params), channels, classes, spatial)
    layout = torch.channels_last if spatial == 2 else torch.channels_last_3d
    return network.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def most_bytes_at_once(network: nn.Module, batch: Tensor, *, training: bool) -> int:
    """Memory of a real pass on the CPU, as torch's profiler sees each block taken and given back; weights and batch included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        if training:
            network.train()
            outputs = network(batch)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            loss = torch.stack([F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.long)) for logits in outputs]).sum()
            del outputs
            loss.backward()
        else:
            network.eval()
            with torch.no_grad():
                network(batch)
    now = most = 0
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda each: each.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    assert most > 0
    own = [*network.parameters(), *network.buffers(), batch]
    return most + sum(each.numel() * each.element_size() for each in own)


CASES = [
    ("unet", 2, {"base_channels": 8, "depth": 3}, (128, 96), 2),
    ("unet", 2, {"base_channels": 8, "depth": 3, "residual": True, "activation": "gelu", "deep_supervision": True}, (64, 128), 3),
    ("unet", 2, {"base_channels": 8, "depth": 2, "normalisation": "instance", "reduction": 2}, (256, 256), 1),
    ("unet", 3, {"base_channels": 8, "depth": 2, "z_factors": "1,2"}, (8, 48, 48), 2),
    ("unet2015", 2, {"base_channels": 8}, (196, 196), 1),
]


@pytest.mark.parametrize(("name", "spatial", "params", "patch", "batch"), CASES)
def test_parameters_are_those_of_the_network_and_memory_is_near_that_of_a_real_step(
    capfd: pytest.CaptureFixture[str], name: str, spatial: int, params: dict[str, Any], patch: tuple[int, ...], batch: int
) -> None:
    drawing = describe_network(name, params, 1, 2, spatial, patch, batch)
    network = built(name, spatial, **params)
    weights = sum(weight.numel() for weight in network.parameters())
    assert drawing.parameters == weights
    layout = torch.channels_last if spatial == 2 else torch.channels_last_3d
    pixels = torch.zeros(batch, 1, *patch).contiguous(memory_format=layout)
    step = most_bytes_at_once(network, pixels, training=True) + 3 * 4 * weights  # two moments and the average of each weight
    network.zero_grad(set_to_none=True)
    assert drawing.training_bytes == pytest.approx(step, rel=0.2)
    assert 1 / 1.5 < drawing.prediction_bytes / most_bytes_at_once(network, pixels, training=False) < 1.5
    capfd.readouterr()  # the profiler talks


@pytest.mark.parametrize(("name", "spatial", "params", "patch", "batch"), CASES)
def test_shapes_are_those_a_pass_has_and_layers_add_up_to_the_blocks(
    name: str, spatial: int, params: dict[str, Any], patch: tuple[int, ...], batch: int
) -> None:
    drawing = describe_network(name, params, 1, 2, spatial, patch, batch)
    network = built(name, spatial, **params).eval()
    for block in drawing.blocks:
        seen: list[tuple[int, ...]] = []
        hook = network.get_submodule(block.name).register_forward_hook(lambda _m, i, o, seen=seen: seen.extend([tuple(i[0].shape[1:]), tuple(o.shape[1:])]))
        with torch.no_grad():
            network(torch.zeros(1, 1, *patch))
        hook.remove()
        assert seen == [block.shape_in, block.shape_out]
        inside = [layer for layer in drawing.layers if layer.block == block.name]
        assert inside[0].shape_in == block.shape_in
        assert sum(layer.parameters for layer in inside) == block.parameters
    deep = sum(weight.numel() for name, weight in network.named_parameters() if name.startswith("deep."))
    assert sum(block.parameters for block in drawing.blocks) == drawing.parameters - deep
    assert drawing.blocks[-1].shape_out[0] == 2


def test_the_drawing_of_a_unet_is_a_u_with_a_skip_at_each_level() -> None:
    drawing = describe_network("unet", {"base_channels": 4, "depth": 2}, 3, 5, 2, (64, 32))
    assert [(block.name, block.level, block.shape_out) for block in drawing.blocks] == [
        ("down.0", 0, (4, 64, 32)),
        ("pool.0", 1, (4, 32, 16)),
        ("down.1", 1, (8, 32, 16)),
        ("pool.1", 2, (8, 16, 8)),
        ("bottom", 2, (16, 16, 8)),
        ("unpool.0", 1, (8, 32, 16)),
        ("up.0", 1, (8, 32, 16)),
        ("unpool.1", 0, (4, 64, 32)),
        ("up.1", 0, (4, 64, 32)),
        ("head", 0, (5, 64, 32)),
    ]
    assert drawing.skips == (Skip("down.1", "up.0", (8, 32, 16)), Skip("down.0", "up.1", (4, 64, 32)))
    assert drawing.blocks[0].shape_in == (3, 64, 32)
    assert drawing.blocks[0].summary == "2 × conv 3×3, 2 × batch norm, 2 × ReLU"
    assert [layer.kind for layer in drawing.layers[:4]] == ["conv 3×3", "batch norm", "ReLU", "conv 3×3"]
    assert drawing.layers[0].parameters == 3 * 9 * 4
    assert drawing.multiple == (4, 4)


def test_the_copies_of_the_published_network_are_as_large_as_in_the_paper() -> None:
    drawing = describe_network("unet2015", {}, 1, 2, 2, (1, 388, 388))
    assert drawing.patch_px == (388, 388)
    assert drawing.blocks[0].shape_in == (1, 572, 572)
    assert {skip.target: skip.shape for skip in drawing.skips} == {
        "up.0": (512, 64, 64),
        "up.1": (256, 136, 136),
        "up.2": (128, 280, 280),
        "up.3": (64, 568, 568),
    }


def test_a_larger_batch_takes_more_memory_in_proportion_to_the_feature_maps() -> None:
    one, two, four = (describe_network("unet", {"depth": 2}, 1, 2, 2, (128, 128), batch).training_bytes for batch in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)


def test_a_drawing_survives_being_written_as_json() -> None:
    drawing = describe_network("unet", {"depth": 1}, 1, 2, 3, (8, 16, 16))
    assert NetworkDrawing.from_record(json.loads(json.dumps(drawing.record()))) == drawing


@pytest.mark.parametrize(
    ("patch", "spatial", "batch", "match"),
    [
        ((64,), 2, 1, "64 pixels"),
        ((2, 64, 64), 2, 1, "in 2-D"),
        ((64, 0), 2, 1, "64 × 0"),
        ((64, 64), 3, 1, "in 3-D"),
        ((64, 64), 2, 0, "0 patch"),
        ((), 2, 1, "no"),
    ],
)
def test_patches_that_cannot_be_are_refused(patch: tuple[int, ...], spatial: int, batch: int, match: str) -> None:
    with pytest.raises(ParameterError, match=match) as refused:
        describe_network("unet", {}, 1, 2, spatial, patch, batch)
    assert refused.value.hint


def test_a_patch_that_leaves_one_pixel_to_normalise_is_refused_with_one_that_does_not() -> None:
    with pytest.raises(ParameterError, match="too small") as refused:
        describe_network("unet", {"normalisation": "instance"}, 1, 2, 2, (16, 16))
    assert "32 × 32" in refused.value.hint
    assert describe_network("unet", {"normalisation": "instance"}, 1, 2, 2, (32, 32)).training_bytes > 0


def test_unknown_networks_and_parameters_are_refused() -> None:
    with pytest.raises(ParameterError, match="unett"):
        describe_network("unett", {}, 1, 2, 2, (64, 64))
    with pytest.raises(ParameterError, match="depht"):
        describe_network("unet", {"depht": 2}, 1, 2, 2, (64, 64))


def test_memory_is_counted_while_it_is_alive_and_not_after() -> None:
    with PeakMemory() as seen:
        first = torch.zeros(1000)
        part = first[:10]  # shares its memory
        second = first + 1
        assert seen.bytes == 8000
        del first, second
        assert seen.bytes == 4000
        third = torch.zeros(500)
    assert (seen.most_bytes, seen.bytes) == (8000, 6000)
    assert part.numel() + third.numel() == 510
