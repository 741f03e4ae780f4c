"""Weights of the U-Net that know electron microscopy, learned from sections made by code (``benchmarks/pretrain_em.py``). Imports torch inside functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segtool.core.errors import ModelError, ParameterError

if TYPE_CHECKING:
    from torch import Tensor, nn

EM_NETWORK: Mapping[str, Any] = {"base_channels": 32, "depth": 4, "reduction": 1, "normalisation": "batch", "activation": "relu", "residual": False}
"""The U-Net they are of; it works on planes, with neighbouring sections or without."""
HEAD = "head."
_FIRST = "down.0.0.weight"
_FILE = Path(__file__).parent / "weights" / "unet_em.safetensors"


def em_weights() -> dict[str, Tensor]:
    """Read the weights by the names of the network's layers, float32.

    Raises
    ------
    ModelError
        If the file is missing or damaged.

    Examples
    --------
    >>> em_weights()["head.weight"].shape
    torch.Size([3, 32, 1, 1])
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(_FILE)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The weights for electron microscopy cannot be read ({error}).", hint="Install napari-segtool again, or choose another initialisation."
        ) from None
    return {name: tensor.float() for name, tensor in stored.items()}


def start_from_em(network: nn.Module) -> None:
    """Give a network the weights, all but those of its head, in place.

    Of an odd number of channels (neighbouring sections) the middle one is seen as the picture was; an even number counts alike, as their mean.

    Parameters
    ----------
    network
        A U-Net as `EM_NETWORK` says.

    Raises
    ------
    ParameterError
        If its layers are others.
    """
    own = network.state_dict()
    taken = {name: tensor for name, tensor in em_weights().items() if not name.startswith(HEAD)}
    channels = own[_FIRST].shape[1] if _FIRST in own else 0
    taken[_FIRST] = _for_channels(taken[_FIRST], channels)
    other = [name for name, tensor in taken.items() if name not in own or own[name].shape != tensor.shape]
    lacking = [name for name in own if name not in taken and not name.startswith((HEAD, "deep.")) and not name.endswith("num_batches_tracked")]
    if other or lacking:
        raise ParameterError(
            f"The weights for electron microscopy are of another network: {(other + lacking)[0]} does not fit.",
            hint="They need network=unet in 2-D or 2.5-D at full resolution with base_channels=32 and depth=4, batch normalisation and plain blocks; "
            "or choose initialisation=gaussian.",
        )
    network.load_state_dict(taken, strict=False)


def _for_channels(kernel: Tensor, channels: int) -> Tensor:
    """Spread the kernel of one channel over several: ``(F, 1, y, x)`` to ``(F, C, y, x)``."""
    spread = kernel.repeat(1, channels, 1, 1) / max(channels, 1)
    if channels % 2:
        spread.zero_()[:, channels // 2] = kernel[:, 0]
    return spread
