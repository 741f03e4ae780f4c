"""What a network is made of, before it is trained. torch is loaded by the verb that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import Steps, drain
from napari_segtool.nets._drawing import NetworkDrawing
from napari_segtool.nets._neighbours import network_channels

_USUAL_PATCH_PX = {2: (256, 256), 3: (16, 128, 128)}


def describe_network_steps(
    network: str,
    *,
    channels: int = 1,
    classes: int = 2,
    spatial: int = 2,
    patch_px: Sequence[int] = (),
    batch: int = 1,
    neighbours: int = 0,
    **params: Any,
) -> Steps[NetworkDrawing]:
    """Generator form of `describe_network`."""
    from napari_segtool.nets._describe import describe_network_steps as steps

    if neighbours < 0 or (neighbours and spatial == 3):
        raise ParameterError(f"neighbours = {neighbours} cannot be in {spatial}-D.", hint="Neighbouring slices are for 2-D networks: give 0 or more of them.")
    sides = tuple(patch_px) or _USUAL_PATCH_PX.get(spatial, ())
    drawing: NetworkDrawing = yield from steps(network, params, network_channels(channels, neighbours), classes, spatial, sides, batch)
    return drawing


def describe_network(
    network: str,
    *,
    channels: int = 1,
    classes: int = 2,
    spatial: int = 2,
    patch_px: Sequence[int] = (),
    batch: int = 1,
    neighbours: int = 0,
    **params: Any,
) -> NetworkDrawing:
    """Describe a network before it is trained: layers with their shapes, skips, receptive field, parameters, memory.

    Parameters
    ----------
    network
        Name from ``segtool list networks``.
    channels, classes
        Channels of the images, and classes to tell apart.
    spatial
        2 for pictures, 3 for volumes.
    patch_px
        Pixels of a patch along ``Y, X`` or ``Z, Y, X``; empty takes 256 × 256, or 16 × 128 × 128.
    batch
        Patches that are learned from at once.
    neighbours
        2.5-D: slices on each side that the network is shown too.
    **params
        The network's parameters.

    Raises
    ------
    ParameterError
        If the network or a parameter is not known, or the patch does not fit.

    Examples
    --------
    >>> describe_network("unet", depth=2).receptive_field.px
    (44, 44)
    """
    steps = describe_network_steps(
        network, channels=channels, classes=classes, spatial=spatial, patch_px=patch_px, batch=batch, neighbours=neighbours, **params
    )
    return drain(steps)
