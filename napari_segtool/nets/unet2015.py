"""The U-Net exactly as it was published in 2015: unpadded convolutions, copy and crop, mirrored borders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import NETWORKS

if TYPE_CHECKING:
    from napari_segtool.nets._unet2015 import UNet2015


class UNet2015Params(Params):
    """Size of the U-Net of 2015."""

    base_channels: int = param(64, "Feature channels at full resolution; each of the four levels below has twice as many. Published: 64.", ge=1, le=256)
    dropout: float = param(0.5, "Share of features dropped at the end of the contracting path while training.", ge=0, le=0.9, advanced=True)


@NETWORKS.register(
    "unet2015",
    title="U-Net of 2015",
    summary="The U-Net as published: 23 unpadded convolutions, 572 → 388 pixels; slower than the U-Net of today, for comparison and teaching.",
    params=UNet2015Params,
    family="encoder-decoder",
    dimensions=(2,),
    reference="Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28",
)
def build_unet2015(params: UNet2015Params, channels: int, classes: int, spatial: int) -> UNet2015:
    """Make an untrained U-Net of 2015, its weights drawn from a Gaussian of deviation √(2/N) by torch's present seed.

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
        raise ParameterError("The U-Net of 2015 works on pictures, not on volumes.", hint="Train it in 2-D, or choose the network unet.")
    from napari_segtool.nets._unet2015 import UNet2015

    return UNet2015(channels, classes, base_channels=params.base_channels, dropout=params.dropout)
