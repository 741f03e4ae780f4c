"""Volumes are worked on in slabs, so that the work can be left between two: where they part must not be seen in the result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_segtool.api import apply_filter, segment
from napari_segtool.core import slabs
from napari_segtool.core.registry import FILTERS, METHODS, Entry
from napari_segtool.methods import _evolve, _label_boxes
from napari_segtool.objects import _pieces
from napari_segtool.preprocess import _components
from tests.contract.pictures import settings_for, stack_of

ALL = [("filter", entry) for entry in FILTERS if "volume" in entry.params.model_fields]
ALL += [("method", entry) for entry in METHODS if {"volume", "grow_in"} & set(entry.params.model_fields)]


def result_of(kind: str, entry: Entry, dtype: str, **more: Any) -> np.ndarray:
    stack = stack_of("ZYX", (7, 12, 15), dtype, (0.02, 0.01, 0.01))
    if dtype == "float32":
        values = np.array(stack.data)
        values[2:4, 3:6, 4], values[6, 1, 1] = np.nan, np.inf
        stack = replace(stack, data=values, memo={})
    through = {"grow_in": "volume"} if "grow_in" in entry.params.model_fields else {"volume": True}
    if kind == "filter":
        return np.asarray(apply_filter(stack, entry.name, **through, **more).data)
    return np.asarray(segment(stack, entry.name, **settings_for(entry, stack), **through, **more).labels.data)


def assert_slabs_are_not_seen(monkeypatch: pytest.MonkeyPatch, kind: str, entry: Entry, dtype: str, **more: Any) -> None:
    whole = result_of(kind, entry, dtype, **more)
    for module, name in (
        (slabs, "SLAB_PIXELS"),
        (_evolve, "SLAB_PIXELS"),
        (_label_boxes, "_SLAB_PIXELS"),
        (_pieces, "SLAB_VOXELS"),
        (_components, "SLAB_VOXELS"),
    ):
        monkeypatch.setattr(module, name, 200)
    assert len(slabs.slabs_along((7, 12, 15))) == 7
    parted = result_of(kind, entry, dtype, **more)
    assert parted.dtype == whole.dtype
    assert np.array_equal(parted, whole, equal_nan=whole.dtype.kind == "f")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("kind", "entry"), ALL, ids=lambda part: getattr(part, "name", part))
def test_a_volume_in_slabs_is_the_same_as_at_once(monkeypatch, kind, entry, dtype):
    assert_slabs_are_not_seen(monkeypatch, kind, entry, dtype)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("watershed", {"markers": "minima", "lines": True}),
        ("watershed", {"markers": "minima", "compactness": 2.0}),
        ("watershed", {"markers": "distance", "lines": True}),
        ("watershed", {"markers": "paint", "compactness": 2.0}),
        ("split-objects", {"labels": "numbered"}),
        ("connected-components", {"labels": "numbered"}),
        ("chan-vese", {"start": "box"}),
        ("graph-cut", {"contrast": 0.0}),
    ],
)
def test_other_ways_of_the_same_methods_do_not_show_slabs_either(monkeypatch, name, more):
    entry = METHODS.get(name)
    over = np.zeros((7, 12, 15), np.uint16)
    over[1:6, 2:10, 2:6], over[1:6, 2:10, 6:9], over[3:, 5:7, 9:14] = 3, 700, 5
    arrays = {"labels": over} if more.get("labels") == "numbered" else {"paint": np.clip(over, 0, 4)} if more.get("markers") == "paint" else {}
    for dtype in ("uint8", "float32"):
        with monkeypatch.context() as patch:
            assert_slabs_are_not_seen(patch, "method", entry, dtype, **{**more, **arrays})
