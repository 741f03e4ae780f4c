"""Weights to begin with. Imports torch; imported only inside functions."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.nets._em_weights import start_from_em
from napari_segtool.nets._imagenet import imagenet_weights

InitialisationKind = Literal["kaiming", "gaussian", "orthogonal", "imagenet", "em"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED, nn.Linear)


@torch.no_grad()
def initialise(network: nn.Module, kind: InitialisationKind) -> None:
    """Set the weights of all convolutions and linear layers, in place, from torch's present seed; biases become 0.

    With N the number of values that one output is summed from (3×3 of 64 channels: 576), all three keep the variance through ReLUs:

    - ``"gaussian"``: normal with deviation √(2/N), as in the U-Net of 2015;
    - ``"kaiming"``: uniform from −√(6/N) to √(6/N), the same variance without tails;
    - ``"orthogonal"``: a random orthogonal matrix times √2.

    ``"imagenet"`` is ``"gaussian"``, but for an encoder that was trained on ImageNet: it starts from the published weights. ``"em"`` is ``"gaussian"`` for
    the head alone: the rest of the U-Net starts from weights that know membranes, cytoplasm and mitochondria, see `start_from_em`.

    Normalisation layers keep what they were made with. Call it before weights are moved to another memory format, so that the same seed gives the same weights.

    Parameters
    ----------
    network
        Changed in place.
    kind
        One of the five.

    Raises
    ------
    ParameterError
        If the kind is unknown, or the network is not one that there are such weights for.
    MissingExtraError
        If the package with the published weights is not installed.

    References
    ----------
    He et al. 2015, doi:10.1109/ICCV.2015.123; Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; Saxe et al. 2014, arXiv:1312.6120.

    Examples
    --------
    >>> layer = nn.Conv2d(64, 64, 3)
    >>> initialise(layer, "kaiming")
    >>> bool(layer.weight.abs().max() <= math.sqrt(6 / 576))
    True
    """
    if kind not in get_args(InitialisationKind):
        raise ParameterError(f"There is no initialisation {kind!r}.", hint=f"Choose one of: {', '.join(get_args(InitialisationKind))}.")
    if kind == "imagenet":
        initialise(network, "gaussian")
        load = getattr(network, "load_imagenet", None)
        if load is None:
            raise ParameterError("There are no ImageNet weights for this network.", hint="Choose network=unet-efficientnet, or another one.")
        load(imagenet_weights())
        return
    if kind == "em":
        initialise(network, "gaussian")
        start_from_em(network)
        return
    for module in network.modules():
        if not isinstance(module, _LAYERS):
            continue
        summed = inputs_of_one_output(module)
        if kind == "gaussian":
            module.weight.normal_(0.0, math.sqrt(2 / summed))
        elif kind == "kaiming":
            bound = math.sqrt(6 / summed)
            module.weight.uniform_(-bound, bound)
        else:
            nn.init.orthogonal_(module.weight, gain=math.sqrt(2))
        if module.bias is not None:
            module.bias.zero_()


def inputs_of_one_output(module: nn.Module) -> float:
    """Return how many values one output of a convolution or linear layer is summed from, on average.

    A transposed convolution spreads each input over its kernel: with a stride as large as the kernel, each output comes from one pixel only.

    Examples
    --------
    >>> inputs_of_one_output(nn.Conv2d(64, 32, 3)), inputs_of_one_output(nn.ConvTranspose2d(64, 32, 2, stride=2))
    (576.0, 64.0)
    """
    if isinstance(module, _TRANSPOSED):
        taps = math.prod(module.kernel_size) * module.in_channels / module.groups
        return float(taps / math.prod(module.stride))
    return float(module.weight[0].numel())  # type: ignore[index]
