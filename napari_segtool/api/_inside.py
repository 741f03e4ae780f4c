"""Look inside a network, check an explanation, find places like another. torch is loaded by the verb that needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_segtool.api._sources import Image, check_pixels, stack_of
from napari_segtool.core.errors import ModelError
from napari_segtool.core.inside import Layer, Patch, Place, ReceptiveField
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.trust import TrustParams, TrustReport

Model = ModelBundle | str | Path
Thoroughness = TrustParams | Mapping[str, Any] | None


def trust_steps(
    model: Model, image: Image, explainer: str, target: Target | int, *, trust: Thoroughness = None, device: str = "auto", **params: Any
) -> Steps[TrustReport]:
    """Generator form of `trust`."""
    from napari_segtool.explain._trust import trust_steps as steps

    settings = trust if isinstance(trust, TrustParams) else TrustParams.build(**(trust or {}))
    asked = target if isinstance(target, Target) else Target(int(target))
    report: TrustReport = yield from steps(_bundle(model), _stack(image), explainer, asked, trust=settings, device=device, **params)
    return report


def trust(model: Model, image: Image, explainer: str, target: Target | int, *, trust: Thoroughness = None, device: str = "auto", **params: Any) -> TrustReport:
    """Check whether an explanation can be trusted.

    Three questions: does the map change when the network's weights are randomised (Adebayo et al. 2018, doi:10.48550/arXiv.1810.03292);
    does covering what it calls important change the answer more than covering at random (Petsiuk et al. 2018,
    doi:10.48550/arXiv.1806.07421); does it come out the same twice, and much the same under noise.

    Parameters
    ----------
    model, image, explainer, target, device, **params
        As for `explain`.
    trust
        How thoroughly; a `TrustParams` or its fields.

    Returns
    -------
    TrustReport
        Numbers, and for each question a verdict in plain words.
    """
    return drain(trust_steps(model, image, explainer, target, trust=trust, device=device, **params))


def layers_steps(model: Model, *, device: str = "auto", **options: Any) -> Steps[tuple[Layer, ...]]:
    """Generator form of `layers`."""
    from napari_segtool.explain._within_layers import layers_steps as steps

    found: tuple[Layer, ...] = yield from steps(_bundle(model), device=device, **options)
    return found


def layers(model: Model, *, device: str = "auto") -> tuple[Layer, ...]:
    """List a network's blocks in the order they work, with their features and scale."""
    return drain(layers_steps(model, device=device))


def filters_steps(model: Model, *, layer: str = "", device: str = "auto", **options: Any) -> Steps[Stack]:
    """Generator form of `filters`."""
    from napari_segtool.explain._within_layers import filters_steps as steps

    pictures: Stack = yield from steps(_bundle(model), layer=layer, device=device, **options)
    return pictures


def filters(model: Model, *, layer: str = "", device: str = "auto") -> Stack:
    """Return the filters of a network's first convolution, or of another layer's, as pictures: float32, axes ``QCYX`` or ``QCZYX``."""
    return drain(filters_steps(model, layer=layer, device=device))


def activations_steps(
    model: Model, image: Image, layer: str = "auto", *, plane: Sequence[int] = (), features: Sequence[int] = (), device: str = "auto", **options: Any
) -> Steps[Stack]:
    """Generator form of `activations`."""
    from napari_segtool.explain._within_layers import activations_steps as steps

    seen: Stack = yield from steps(_bundle(model), _stack(image), layer, plane=plane, features=features, device=device, **options)
    return seen


def activations(model: Model, image: Image, layer: str = "auto", *, plane: Sequence[int] = (), features: Sequence[int] = (), device: str = "auto") -> Stack:
    """Return what a layer makes of one plane.

    Parameters
    ----------
    model, image, device
        As for `explain`.
    layer
        A block, as `layers` names it, or a layer inside one; "auto" is the deepest.
    plane
        Index along the axes but Y and X; empty takes the first.
    features
        Which feature maps; empty takes all.

    Returns
    -------
    Stack
        float32, ``C`` (the features) and then the axes of the image's labels, on the layer's own grid; ``memo["scale_px"]`` and
        ``memo["offset_px"]`` say how it lies over the image, see `explain._within_layers.activations_steps`.
    """
    return drain(activations_steps(model, image, layer, plane=plane, features=features, device=device))


def patches_steps(
    model: Model, images: Image | Sequence[Image], layer: str, feature: int, *, count: int = 9, patch_px: int = 0, device: str = "auto", **options: Any
) -> Steps[tuple[Patch, ...]]:
    """Generator form of `patches`."""
    from napari_segtool.explain._within_patches import patches_steps as steps

    stacks = [_stack(image) for image in ([images] if isinstance(images, Stack | str | Path) else images)]
    found: tuple[Patch, ...] = yield from steps(_bundle(model), stacks, layer, feature, count=count, patch_px=patch_px, device=device, **options)
    return found


def patches(
    model: Model, images: Image | Sequence[Image], layer: str, feature: int, *, count: int = 9, patch_px: int = 0, device: str = "auto"
) -> tuple[Patch, ...]:
    """Search one or several images for the places that one feature of a layer answers to most strongly.

    Parameters
    ----------
    model, device
        As for `explain`.
    images
        A stack or path, or several.
    layer, feature
        A block, as `layers` names it, and the number of its feature.
    count
        How many places.
    patch_px
        Side of a patch; 0 takes what the feature can see, 16 to 128 pixels.

    Returns
    -------
    tuple of Patch
        Strongest first.
    """
    return drain(patches_steps(model, images, layer, feature, count=count, patch_px=patch_px, device=device))


def receptive_field_steps(model: Model, image: Image, target: Target | Sequence[int], *, device: str = "auto", **options: Any) -> Steps[ReceptiveField]:
    """Generator form of `receptive_field`."""
    from napari_segtool.explain._within_reach import receptive_field_steps as steps

    bundle = _bundle(model)
    asked = target if isinstance(target, Target) else Target(int(bundle.card["classes"][0]["value"]), tuple(int(i) for i in target))
    field: ReceptiveField = yield from steps(bundle, _stack(image), asked, device=device, **options)
    return field


def receptive_field(model: Model, image: Image, target: Target | Sequence[int], *, device: str = "auto", **options: Any) -> ReceptiveField:
    """Return how far a pixel sees: the strength of each pixel's influence on it, and a line around those that count.

    Parameters
    ----------
    model, image, device
        As for `explain`.
    target
        The pixel, ``(z, y, x)``, or a `Target` with a point.
    **options
        ``draws``, ``noise``, ``smoothing_px``, ``seed``: see `explain._within_reach.receptive_field_steps`.
    """
    return drain(receptive_field_steps(model, image, target, device=device, **options))


def similar_places_steps(
    model: Model,
    image: Image,
    region: Region,
    *,
    plane: Sequence[int] = (),
    layer: str = "auto",
    count: int = 20,
    uncertain: float = 0.25,
    device: str = "auto",
    **options: Any,
) -> Steps[tuple[Place, ...]]:
    """Generator form of `similar_places`."""
    from napari_segtool.explain._similar import similar_places_steps as steps

    found: tuple[Place, ...] = yield from steps(
        _bundle(model), _stack(image), region, plane=plane, layer=layer, count=count, uncertain=uncertain, device=device, **options
    )
    return found


def similar_places(
    model: Model,
    image: Image,
    region: Region,
    *,
    plane: Sequence[int] = (),
    layer: str = "auto",
    count: int = 20,
    uncertain: float = 0.25,
    device: str = "auto",
) -> tuple[Place, ...]:
    """Search a stack for errors like this one: places that look to the network like a region, uncertain ones first.

    Parameters
    ----------
    model, image, device
        As for `explain`.
    region
        For example a wrong object: ``Region.of_object(labels, 7)``.
    plane
        The region's plane, where its mask has only Y and X.
    layer
        Whose features are compared; "auto" takes the last block at full resolution.
    count
        How many places.
    uncertain
        What the uncertainty counts in the order of places, 0 to 1; the similarity counts the rest.

    Returns
    -------
    tuple of Place
        Without the region itself.
    """
    return drain(similar_places_steps(model, image, region, plane=plane, layer=layer, count=count, uncertain=uncertain, device=device))


def _bundle(model: Model) -> ModelBundle:
    from napari_segtool.nets._bundle import open_bundle

    bundle = model if isinstance(model, ModelBundle) else open_bundle(model)
    if not bundle.card.get("network"):
        raise ModelError(
            f"The model {bundle.path} is no network ({bundle.card.get('learner', 'unknown')}): there are no layers to look into.",
            hint="Choose a model that was trained as a network, such as a U-Net.",
        )
    return bundle


def _stack(image: Image) -> Stack:
    stack = stack_of(image, "")
    check_pixels(stack)
    return stack
