"""Models on disk: a folder with ``model.json`` (the card) and ``weights.safetensors``. Never a pickle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segtool.core.errors import ModelError, ParameterError, StorageError
from napari_segtool.core.registry import NETWORKS
from napari_segtool.core.result import ModelBundle
from napari_segtool.nets._neighbours import neighbours_of, network_channels

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
CARD, WEIGHTS = "model.json", "weights.safetensors"
_REQUIRED = ("learner", "network", "network_params", "channels", "spatial", "classes", "normalisation")
_AGAIN = "Train it again, or copy the folder again from where it came."


def save_bundle(folder: str | Path, network: nn.Module, card: Mapping[str, Any]) -> ModelBundle:
    """Write a network and its card; the folder appears, or is replaced, as a whole.

    Parameters
    ----------
    folder
        The bundle's folder; an older bundle there is replaced.
    network
        Its parameters and buffers are stored as they are (float32 stays float32).
    card
        What ``model.json`` shall say; ``format`` and the checksum of the weights are added.

    Raises
    ------
    StorageError
        If it cannot be written; an older bundle is left as it was.
    """
    from safetensors.torch import save

    folder = Path(folder)
    fresh, old = _beside(folder, "new"), _beside(folder, "old")
    weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
    record = {"format": FORMAT, **card, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _write(fresh / WEIGHTS, weights)
        _write(fresh / CARD, text.encode())
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        raise StorageError(
            f"The model cannot be written to {folder}: {error.strerror or error}.", hint="Free some space there, or check that you may write to it."
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return ModelBundle(folder, json.loads(text))


def open_bundle(path: str | Path) -> ModelBundle:
    """Open a model by its folder or by the folder of the run that made it.

    Returns
    -------
    ModelBundle
        Its card is read and its weights are checked against their checksum; the network is built by `load_network`.

    Raises
    ------
    ModelError
        If there is no model, the run has not saved one yet, or a file is damaged.
    """
    folder = _find(Path(path))
    card = _read_card(folder)
    weights = folder / WEIGHTS
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise ModelError(f"The model {folder} has no {WEIGHTS}.", hint=_AGAIN) from None
    except OSError as error:
        raise ModelError(f"The weights of {folder} cannot be read: {error.strerror or error}.", hint=_AGAIN) from None
    if digest != card.get("weights_sha256"):
        raise ModelError(f"The weights of {folder} are damaged: their checksum is not the one on the model card.", hint=_AGAIN)
    return ModelBundle(folder, card)


def build_network(card: Mapping[str, Any]) -> nn.Module:
    """Make the network that a card describes, with untrained weights, or raise `ModelError`.

    ``channels`` on the card are those of an image; with ``neighbours`` the network takes as many of each slice shown.
    """
    try:
        entry = NETWORKS.get(str(card["network"]))
        params = entry.params.build(**card["network_params"])
        channels = network_channels(int(card["channels"]), neighbours_of(card))
        network: nn.Module = entry.function(params, channels, len(card["classes"]), int(card["spatial"]))
    except ParameterError as error:
        raise ModelError(f"The model's network cannot be built: {error.message}", hint="The model may come from a newer version of napari-segtool.") from None
    return network


def load_network(bundle: ModelBundle) -> nn.Module:
    """Build the network of a bundle and load its weights: float32, on the CPU, ready to evaluate.

    Raises
    ------
    ModelError
        If the weights do not fit the network on the card.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build_network(bundle.card)
    try:
        network.load_state_dict(load_file(bundle.path / WEIGHTS), strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"The weights of {bundle.path} do not fit the network on its card: {reason}", hint=_AGAIN) from None
    return network.float().eval()


def _find(path: Path) -> Path:
    if (path / CARD).is_file():
        return path
    for folder in (path / "model", _beside(path / "model", "old"), _beside(path, "old")):
        if (folder / CARD).is_file():
            return folder
    if (path / "config.json").is_file():
        raise ModelError(f"The run {path} has no model yet: it has not finished a first validation.", hint="Let it train a little longer, or resume it.")
    if not path.exists():
        raise ModelError(f"There is no model at {path}.", hint="Give the folder of a run or of a model.")
    if path.is_file():
        raise ModelError(f"{path} is a file, but a model is a folder.", hint="Give the folder that holds model.json, or the folder of the run.")
    raise ModelError(f"The folder {path} holds no model: there is no {CARD}.", hint="Give the folder of a run or of a model.")


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The model card {folder / CARD} cannot be read: {error}.", hint=_AGAIN) from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        got = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise ModelError(f"The model card {folder / CARD} has format {got!r}, but this version reads {FORMAT}.", hint="Update napari-segtool.")
    missing = [key for key in _REQUIRED if key not in card]
    if missing:
        raise ModelError(f"The model card {folder / CARD} does not say {', '.join(missing)}.", hint=_AGAIN)
    return card


def _beside(folder: Path, word: str) -> Path:
    """A hidden sibling: whatever moment the writer dies, one whole bundle is left under one of the names."""
    return folder.parent / f".{folder.name}-{word}"


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
