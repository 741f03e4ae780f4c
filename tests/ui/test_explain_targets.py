"""What the Explain panel can be pointed at: objects of labels, regions drawn or painted, on the right slice and no other."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.core.errors import DataError
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._explain_asked import Wish
from napari_segtool.ui._explain_grid import view_of
from napari_segtool.ui._explain_marks import marks_on
from napari_segtool.ui._explain_show import outlines_around
from tests.ui.explain_fakes import click, opened_panel

LABELS = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [2, 0, 0, 0]], np.uint8)


def wish(kind, point=(0, 0), **more):
    return Wish(kind, (), 1, point=point, axes=more.pop("axes", "YX"), size=LABELS.shape, marks=lambda: LABELS, **more)


def pixels(region):
    return {(int(y) + region.start[0], int(x) + region.start[1]) for y, x in np.argwhere(region.mask)}


def test_where_numbers_are_objects_all_pixels_of_the_number_are_the_object():
    assert pixels(wish("object").target().region) == {(0, 0), (0, 1), (0, 3), (1, 3)}


def test_where_numbers_are_classes_the_object_is_the_piece_that_was_clicked():
    assert pixels(wish("object", pieces=True).target().region) == {(0, 0), (0, 1)}
    assert pixels(wish("object", (1, 3), pieces=True).target().region) == {(0, 3), (1, 3)}
    assert (0, 2) in pixels(wish("object", (0, 2), pieces=True).target().region), "0 is a class like others"


def test_the_background_of_objects_is_no_object():
    with pytest.raises(DataError, match="no object"):
        wish("object", (2, 3)).target()


def test_a_region_is_all_that_is_drawn_and_nothing_drawn_is_said():
    assert wish("region").target().region.pixels == 5
    with pytest.raises(DataError, match="Nothing is drawn"):
        Wish("region", (), 1, axes="YX", size=(3, 4), marks=lambda: np.zeros((3, 4))).target()


def test_for_a_model_of_volumes_the_object_reaches_through_all_slices():
    volume = np.zeros((3, 3, 4), np.uint8)
    volume[1:, 0, 0] = 1
    asked = Wish("object", (1,), 1, point=(1, 0, 0), axes="ZYX", size=(3, 4), marks=lambda: volume[1], volume=volume)
    assert asked.target().region.start == (1, 0, 0)
    assert asked.target().region.mask.shape == (2, 1, 1)


def test_regions_follow_an_image_that_lies_on_its_side():
    region = wish("object", (1, 3)[::-1], axes="XY", pieces=True).target().region
    assert (region.start, region.mask.shape) == ((3, 0), (1, 2))


def test_a_pixel_stands_for_a_small_square_where_a_region_is_needed():
    region = Wish("pixel", (), 1, point=(2, 20), axes="YX", size=(30, 25)).region()
    assert (region.start, region.mask.shape) == ((0, 13), (10, 12))


def test_the_comparison_shows_what_lies_about_the_pixel_and_never_beyond_the_slice():
    stack = Stack(np.zeros((300, 400), np.uint8), "YX")
    corner = Wish("pixel", (), 1, point=(1, 399), axes="YX", size=(300, 400))
    assert view_of(stack, corner, Target(1, point=(1, 399))) == (slice(0, 160), slice(240, 400))
    assert view_of(stack, Wish("class", (), 1), Target(1)) == (slice(0, 300), slice(0, 400))


def test_lines_around_a_mask_have_one_for_its_hole():
    mask = np.ones((9, 9), bool)
    mask[3:6, 3:6] = False
    lines = outlines_around(mask)
    assert [np.ptp(line, axis=0).tolist() for line in lines] == [[8, 8], [4, 4]]
    assert all((line[0] == line[-1]).all() for line in lines)


@pytest.fixture
def panel(workspace, steps_image, tmp_path, monkeypatch):
    """An Explain panel over an image, with a model whose network is never asked."""
    return opened_panel(workspace, steps_image[0], tmp_path, monkeypatch)


def test_an_object_is_clicked_and_outlined_on_its_slice(panel, steps_image, qtbot):
    viewer, truth = panel.viewer, steps_image[1]
    viewer.add_labels(truth, name="cells", scale=(50, 4, 4))
    panel.target.buttons["object"].click()
    assert panel.target.objects.layer.name == "cells"
    assert "Click an object" in panel.message.plain
    viewer.dims.set_point(0, 50)
    click(viewer, panel.image, (1, 10, 12))
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    ((_, target, _),) = panel.process.client.asked
    assert target.plane == (1,)
    assert pixels(target.region) == {tuple(at) for at in np.argwhere(truth[1])}
    outline = viewer.layers["steps · explained"]
    corners = np.concatenate(outline.data)
    assert set(corners[:, 0]) == {1}
    assert corners[:, 1:].min(0).tolist() == np.argwhere(truth[1]).min(0).tolist()
    assert corners[:, 1:].max(0).tolist() == np.argwhere(truth[1]).max(0).tolist()
    assert f"the object clicked, {int(truth[1].sum())} px" in panel.message.plain


def test_another_way_to_point_says_what_to_do_and_forgets_the_pixel(panel, qtbot):
    panel._picked((1, 5, 6))
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    panel.target.buttons["object"].click()
    assert panel.message.plain == "Click an object in the picture."
    assert panel.pixel is None
    assert "steps · explained pixel" not in panel.viewer.layers


def test_labels_of_one_slice_answer_on_that_slice_only(panel, steps_image):
    viewer, image = panel.viewer, panel.image
    thin = viewer.add_labels(steps_image[1][2:], name="slice", scale=(50, 4, 4), translate=(100, 0, 0))
    panel.target.fill()
    stack = panel.session.stack(image)
    assert (marks_on(thin, image, stack, (2,))() == steps_image[1][2]).all()
    assert marks_on(thin, image, stack, (1,)) is None
    panel.target.buttons["object"].click()
    panel._picked((1, 10, 12))
    assert "lies on slice 2" in panel.message.plain


def test_without_labels_the_panel_sends_to_predict(panel):
    panel.target.buttons["object"].click()
    panel.button.click()
    assert "predict this slice first" in panel.message.plain
    assert "Predict" in panel.message.offers


def test_a_drawn_polygon_is_asked_about_at_once_and_only_on_its_slice(panel, qtbot):
    viewer = panel.viewer
    panel.target.buttons["region"].click()
    panel.button.click()
    assert "Draw a region first" in panel.message.plain
    panel.target.region.draw_button.click()
    shapes = panel.target.region.layer
    assert shapes.mode == "add_polygon"
    viewer.dims.set_point(0, 50)
    shapes.add_rectangles(np.array([[1, 5, 6], [1, 5, 15], [1, 12, 15], [1, 12, 6]]))
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    _, target, _ = panel.process.client.asked[-1]
    assert target.plane == (1,)
    assert pixels(target.region) == {(y, x) for y in range(5, 13) for x in range(6, 16)}
    viewer.dims.set_point(0, 100)
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "failed", timeout=3000)
    assert "Nothing is drawn on this slice" in panel.message.plain


def test_paint_is_a_region_too(panel, qtbot):
    paint = np.zeros((3, 40, 48), np.uint8)
    paint[0, 3:5, 4] = 2
    layer = panel.viewer.add_labels(paint, name="paint", scale=(50, 4, 4))
    notes_of(layer)["role"] = "paint"
    panel.viewer.dims.set_point(0, 0)
    panel.target.fill()
    panel.target.buttons["region"].click()
    panel.target.region.set_layer(layer)
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    assert pixels(panel.process.client.asked[-1][1].region) == {(3, 4), (4, 4)}
