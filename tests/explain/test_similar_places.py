"""Errors like this one: a motif that is repeated is found where it is repeated."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.errors import AxesError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region
from napari_segtool.explain._similar import similar_places_steps
from tests.hand_models import convolution, loaded_by_hand


def stripe_finder(spatial=2):
    """Features answer to stripes along X and along Y; the class hangs on the brightness alone, so that bright grounds are undecided."""
    kernels = torch.zeros(3, 1, 3, 3)
    kernels[0, 0] = torch.tensor([[-1, -1, -1], [2, 2, 2], [-1, -1, -1.0]])
    kernels[1, 0] = kernels[0, 0].T
    kernels[2, 0, 1, 1] = 1
    head = torch.zeros(2, 3, 1, 1)
    head[1, 2] = 4
    if spatial == 3:
        kernels, head = kernels[:, :, None], head[:, :, None]
    return loaded_by_hand(nn.Sequential(convolution(kernels), nn.ReLU(), convolution(head, (2.0, 0.0))))


def stripes(along_x=True):
    motif = np.zeros((8, 8), np.float32)
    motif[::4] = motif[1::4] = 1
    return motif if along_x else motif.T


def picture():
    """Stripes along X at four places of three planes, stripes along Y at others."""
    planes = np.zeros((3, 64, 72), np.float32)
    for z, y, x in ((0, 8, 8), (0, 40, 50), (2, 20, 30), (2, 44, 8)):
        planes[z, y : y + 8, x : x + 8] = stripes()
    for z, y, x in ((0, 8, 50), (1, 30, 30), (2, 20, 52)):
        planes[z, y : y + 8, x : x + 8] = stripes(False)
    return planes


def drawn(z, y, x):
    mask = np.zeros((3, 64, 72), bool)
    mask[z, y : y + 8, x : x + 8] = True
    return Region(mask)


def found(model, stack, region, **more):
    return drain(similar_places_steps(model.bundle, stack, region, loaded=model, **more))


def is_at(place, z, y, x):
    return place.plane == (z,) and all(abs(a - b) <= 2 for a, b in zip(place.centre, (y + 4, x + 4), strict=True))


@pytest.mark.parametrize("spatial", [2, 3])
def test_the_repeated_motif_comes_first_and_the_region_itself_not_at_all(spatial):
    places = found(stripe_finder(spatial), Stack(picture(), "ZYX"), drawn(0, 8, 8), count=3, uncertain=0.0)
    for motif in ((0, 40, 50), (2, 20, 30), (2, 44, 8)):
        assert any(is_at(place, *motif) for place in places)
    assert all(place.similarity > 0.95 for place in places)
    assert [place.similarity for place in places] == sorted((place.similarity for place in places), reverse=True)
    assert all(place.box[2] - place.box[0] == 8 for place in places)


def test_the_other_motif_is_like_itself_only():
    places = found(stripe_finder(), Stack(picture(), "ZYX"), drawn(1, 30, 30), count=2, uncertain=0.0)
    assert {next(motif for motif in ((0, 8, 50), (2, 20, 52)) if is_at(place, *motif)) for place in places} == {(0, 8, 50), (2, 20, 52)}


def test_of_places_alike_the_uncertain_one_comes_first():
    planes = picture()
    planes[2, 20:28, 30:38] *= 0.5  # 4 times 0.5 is 2: both classes have the same logit there
    places = found(stripe_finder(), Stack(planes, "ZYX"), drawn(0, 8, 8), count=3, uncertain=0.5)
    assert is_at(places[0], 2, 20, 30)
    assert places[0].uncertainty > max(place.uncertainty for place in places[1:])


def test_a_region_of_one_plane_may_be_given_with_the_plane_and_must_lie_inside():
    region = Region(drawn(0, 8, 8).mask[0], (8, 8))
    places = found(stripe_finder(), Stack(picture(), "ZYX"), region, plane=(0,), count=1, uncertain=0.0)
    assert len(places) == 1
    with pytest.raises(AxesError):
        found(stripe_finder(), Stack(picture()[:, :10], "ZYX"), region, plane=(0,))


def test_small_tiles_find_the_same_places_and_the_search_can_be_left():
    model = stripe_finder()
    model.forward.largest_px = lambda gradient=False: 24 * 24
    tiled = found(model, Stack(picture(), "ZYX"), drawn(0, 8, 8), count=3, uncertain=0.0)
    for motif in ((0, 40, 50), (2, 20, 30), (2, 44, 8)):
        assert any(is_at(place, *motif) for place in tiled)
    steps = similar_places_steps(model.bundle, Stack(picture(), "ZYX"), drawn(0, 8, 8), loaded=model)
    for _ in range(20):
        next(steps)
    steps.close()
