"""U-Net: the encoder and decoder with skip connections that started it all, for 2-D pictures and 3-D volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import NETWORKS

if TYPE_CHECKING:
    from napari_segtool.nets._unet import UNet


class UNetParams(Params):
    """Size and blocks of a U-Net."""

    base_channels: int = param(32, "Feature channels at full resolution; each level below has twice as many.", ge=1, le=256)
    depth: int = param(4, "Number of times the picture is halved.", ge=1, le=7)
    reduction: int = param(
        1,
        "The network works on a picture this many times smaller along Y and X: quicker and with a wider view, for objects that are large.",
        ge=1,
        le=8,
        advanced=True,
    )
    max_channels: int = param(256, "Feature channels no level exceeds.", ge=1, le=2048, advanced=True)
    normalisation: Literal["batch", "instance", "group", "none"] = param(
        "batch", "What keeps features on one scale: batch (quick), instance or group (for batches of 1 or 2).", advanced=True
    )
    activation: Literal["relu", "leaky-relu", "elu", "gelu"] = param(
        "relu", "What bends the features: relu (quickest), or one that lets something of negative values through.", advanced=True
    )
    residual: bool = param(False, "Each block adds its input to its result, which helps deep networks to learn.", advanced=True)
    dropout: float = param(0.0, "Share of features dropped in the two deepest blocks while training.", ge=0, le=0.9, advanced=True)
    deep_supervision: bool = param(False, "While training, coarser levels must tell the classes too; prediction is as before.", advanced=True)
    z_factors: str = param(
        "", "3-D only: pooling along Z at each level, from the top, for example 1,1,2,2 for thick sections; empty halves it like Y and X.", advanced=True
    )


def pooling_factors(params: UNetParams, spatial: int) -> tuple[tuple[int, ...], ...]:
    """Return the pooling factor of each level, from the top, one number for each spatial axis.

    Raises
    ------
    ParameterError
        If ``z_factors`` does not name one factor of 1 or 2 for each level.

    Examples
    --------
    >>> pooling_factors(UNetParams(depth=2, z_factors="1,2"), 3)
    ((1, 2, 2), (2, 2, 2))
    """
    if spatial == 2:
        return ((2, 2),) * params.depth
    parts = [part.strip() for part in params.z_factors.split(",")] if params.z_factors.strip() else ["2"] * params.depth
    if len(parts) != params.depth or any(part not in ("1", "2") for part in parts):
        raise ParameterError(
            f"z_factors = {params.z_factors!r} does not fit a network of depth {params.depth}.",
            hint=f"Give {params.depth} numbers, each 1 or 2, for example {','.join(['1'] + ['2'] * (params.depth - 1))}.",
        )
    return tuple((int(part), 2, 2) for part in parts)


@NETWORKS.register(
    "unet",
    title="U-Net",
    summary="Encoder and decoder with skip connections; the dependable first choice.",
    params=UNetParams,
    family="encoder-decoder",
    reference="Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28",
)
def build_unet(params: UNetParams, channels: int, classes: int, spatial: int) -> UNet:
    """Make an untrained U-Net.

    Parameters
    ----------
    params
        Size and blocks.
    channels, classes
        Input channels and output classes.
    spatial
        2 for ``(N, C, Y, X)``, 3 for ``(N, C, Z, Y, X)``.
    """
    from napari_segtool.nets._unet import UNet

    return UNet(
        channels,
        classes,
        spatial,
        base_channels=params.base_channels,
        max_channels=params.max_channels,
        pooling=pooling_factors(params, spatial),
        normalisation=params.normalisation,
        activation=params.activation,
        residual=params.residual,
        dropout=params.dropout,
        reduction=params.reduction,
        deep_supervision=params.deep_supervision,
    )
