"""A U-Net whose encoder has learned to see on ImageNet: for few labelled images of objects that only their surroundings tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import NETWORKS

if TYPE_CHECKING:
    from napari_segtool.nets._unet_efficientnet import UNetEfficientNet


class UNetEfficientNetParams(Params):
    """Size of the decoder; the encoder is as published."""

    base_channels: int = param(32, "Feature channels of the decoder at half resolution; the deepest block has four times as many.", ge=1, le=256)
    reduction: int = param(
        1,
        "The network works on a picture this many times smaller along Y and X: quicker and with a wider view, for objects that are large.",
        ge=1,
        le=8,
        advanced=True,
    )
    dropout: float = param(0.0, "Share of features dropped at the bottom and in the two deepest blocks above it while training.", ge=0, le=0.9, advanced=True)


@NETWORKS.register(
    "unet-efficientnet",
    title="U-Net, pretrained encoder",
    summary="A U-Net whose encoder (EfficientNet-Lite0) knows photographs from ImageNet: for few labelled images of large objects, as in ultrasound.",
    params=UNetEfficientNetParams,
    family="encoder-decoder",
    dimensions=(2,),
    reference="Tan & Le 2019, arXiv:1905.11946; in a U-Net as Iglovikov & Shvets 2018, arXiv:1801.05746",
)
def build_unet_efficientnet(params: UNetEfficientNetParams, channels: int, classes: int, spatial: int) -> UNetEfficientNet:
    """Make a U-Net with the encoder of EfficientNet-Lite0; its weights are random until it is initialised with ``"imagenet"`` (`nets._initialise`).

    Parameters
    ----------
    params
        Size.
    channels, classes
        Input channels and output classes.
    spatial
        2.

    Raises
    ------
    ParameterError
        If it is asked for volumes.
    """
    if spatial != 2:
        raise ParameterError("The pretrained encoder works on pictures, not on volumes.", hint="Train it in 2-D, or choose the network unet.")
    from napari_segtool.nets._unet_efficientnet import UNetEfficientNet

    return UNetEfficientNet(channels, classes, base_channels=params.base_channels, reduction=params.reduction, dropout=params.dropout)
