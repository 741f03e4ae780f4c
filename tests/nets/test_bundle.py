"""Bundles: written whole, read back equal, refused with a reason where damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_segtool.core.errors import ModelError, StorageError
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._bundle import load_network, open_bundle, save_bundle


def network_and_card(seed: int = 0) -> tuple[torch.nn.Module, dict[str, Any]]:
    entry = NETWORKS.get("unet")
    params = entry.params.build(base_channels=2, depth=1)
    torch.manual_seed(seed)
    network: torch.nn.Module = entry.function(params, 1, 2, 2)
    classes = [{"value": 1, "name": "membrane"}, {"value": 2, "name": "cell"}]
    card = {
        "learner": "unet",
        "network": "unet",
        "network_params": params.model_dump(),
        "channels": 1,
        "spatial": 2,
        "classes": classes,
        "normalisation": {"kind": "plane"},
    }
    return network, card


def test_a_bundle_reads_back_with_equal_logits_and_card(tmp_path: Path) -> None:
    network, card = network_and_card()
    save_bundle(tmp_path / "model", network, card)
    bundle = open_bundle(tmp_path / "model")
    picture = torch.randn(1, 1, 16, 16)
    assert torch.equal(load_network(bundle)(picture), network.eval()(picture))
    assert bundle.card["classes"][1]["name"] == "cell"
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "weights.safetensors"]
    assert os.listdir(tmp_path) == ["model"]


def test_a_run_folder_opens_as_its_model(tmp_path: Path) -> None:
    save_bundle(tmp_path / "run" / "model", *network_and_card())
    assert open_bundle(tmp_path / "run").path == tmp_path / "run" / "model"


def test_a_second_save_replaces_the_first(tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", *network_and_card(0))
    second, card = network_and_card(1)
    save_bundle(tmp_path / "model", second, card)
    loaded = load_network(open_bundle(tmp_path / "model"))
    assert torch.equal(loaded.head.weight, second.head.weight)


def test_a_run_that_has_no_model_yet_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="first validation"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_what_is_no_model_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "empty":
        path.mkdir()
    elif what == "file":
        path.write_text("x")
    with pytest.raises(ModelError) as caught:
        open_bundle(path)
    assert caught.value.hint


def test_flipped_bits_in_the_weights_are_noticed(tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", *network_and_card())
    weights = tmp_path / "model" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        open_bundle(tmp_path / "model")


def test_truncated_and_missing_weights_are_noticed(tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", *network_and_card())
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        open_bundle(tmp_path / "model")
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        open_bundle(tmp_path / "model")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "learner": "unet"}', "\x00\x01"])
def test_a_damaged_card_is_refused(tmp_path: Path, text: str) -> None:
    save_bundle(tmp_path / "model", *network_and_card())
    (tmp_path / "model" / "model.json").write_text(text)
    with pytest.raises(ModelError):
        open_bundle(tmp_path / "model")


def test_a_card_that_does_not_fit_its_weights_is_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", *network_and_card())
    path = tmp_path / "model" / "model.json"
    card = json.loads(path.read_text())
    card["network_params"]["base_channels"] = 3
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match="do not fit"):
        load_network(open_bundle(tmp_path / "model"))
    card["network"] = "unknown"
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match="unknown"):
        load_network(open_bundle(tmp_path / "model"))


def test_a_save_that_fails_leaves_the_model_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, card = network_and_card(0)
    save_bundle(tmp_path / "model", first, card)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        save_bundle(tmp_path / "model", *network_and_card(1))
    monkeypatch.undo()
    assert torch.equal(load_network(open_bundle(tmp_path / "model")).head.weight, first.head.weight)
    assert os.listdir(tmp_path) == ["model"]


def test_a_writer_killed_between_its_two_renames_leaves_a_model_that_opens(tmp_path: Path) -> None:
    save_bundle(tmp_path / "run" / "model", *network_and_card())
    (tmp_path / "run" / "model").rename(tmp_path / "run" / ".model-old")
    assert open_bundle(tmp_path / "run").card["learner"] == "unet"
    save_bundle(tmp_path / "run" / "model", *network_and_card())
    assert os.listdir(tmp_path / "run") == ["model"]
