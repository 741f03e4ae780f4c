"""Layer ↔ Stack, Labels, Paint: nothing about where pixels lie is lost. No window is needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers import Labels as LabelsLayer

from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.labels import Labels
from napari_segtool.core.planes import read_plane
from napari_segtool.core.result import Segmentation, Step
from napari_segtool.core.stack import Stack
from napari_segtool.ui import _bridge as bridge
from napari_segtool.ui._io import layer_of_labels, layer_of_stack
from napari_segtool.ui._memory import Memory
from napari_segtool.ui._session import Session

STEP = Step("segment:otsu", {"classes": 2}, "0.1.0", "0" * 16)
SIZES = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6}

axes_in_any_order = st.sampled_from(["YX", "ZYX", "TYX", "CYX", "TZYX", "CZYX", "ZCYX", "TZCYX", "YXC", "XY", "ZXY", "QYX"])


@st.composite
def image_layers(draw):
    axes = draw(axes_in_any_order)
    shape = tuple({**SIZES, "Q": 3}[axis] for axis in axes)
    floats = st.floats(0.001, 50).map(lambda value: round(value, 6))
    unit, factor = draw(st.sampled_from([("um", 1.0), ("nm", 1e-3), ("millimeter", 1e3), ("pixel", 0.0)]))
    scale = [draw(floats) for _ in axes]
    layer = Image(
        np.arange(np.prod(shape), dtype=np.uint16).reshape(shape),
        rgb=False,
        name="image",
        axis_labels=[axis.lower() for axis in axes],
        units=[unit if axis in "ZYX" else "pixel" for axis in axes],
        scale=scale,
        translate=[draw(st.floats(-20, 20).map(lambda value: round(value, 3))) for _ in axes],
    )
    spacing = tuple(value * factor for axis, value in zip(axes, scale, strict=True) if axis in "ZYX") if factor else ()
    return layer, axes, spacing


@settings(max_examples=40, deadline=None)
@given(image_layers())
def test_a_layer_becomes_a_stack_with_its_own_axes_and_its_spacing_in_microns(case):
    layer, axes, spacing = case
    stack = bridge.stack_of(layer)
    assert stack.axes == axes
    assert stack.data is layer.data
    assert stack.spacing_um == pytest.approx(spacing)


@settings(max_examples=40, deadline=None)
@given(image_layers(), st.integers(0, 10**6))
def test_every_pixel_of_a_result_lies_where_the_pixel_of_the_image_lies(case, seed):
    layer, axes, spacing = case
    stack = bridge.stack_of(layer)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    values = (np.arange(np.prod(stack.label_shape)) % 3).astype(np.uint8).reshape(stack.label_shape)
    result = bridge.add_labels(viewer, Segmentation(Labels(values, stack.label_axes), spacing, (STEP,)), layer, "image · Otsu")
    random = np.random.default_rng(seed)
    place = {axis: int(random.integers(n)) for axis, n in zip(axes, stack.shape, strict=True)}
    world = layer.data_to_world([place[axis] for axis in axes])
    expected = values[tuple(place[axis] for axis in stack.label_axes)]
    assert result.get_value(world[-result.ndim :], world=True) == expected
    assert bridge.segmentation_of(result).spacing_um == pytest.approx(spacing)
    assert bridge.segmentation_of(result).history == (STEP,)
    again = bridge.labels_of(result)
    assert again.axes == stack.label_axes
    np.testing.assert_array_equal(again.data, values)


@settings(max_examples=30, deadline=None)
@given(image_layers(), st.integers(0, 10**6))
def test_the_visible_plane_is_the_plane_the_viewer_was_put_on(case, seed):
    layer, _, _ = case
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.add_image(np.zeros((2, 2, 2, 2, 2, 2)), name="one with more dimensions")
    stack = bridge.stack_of(layer)
    wanted = tuple(int(np.random.default_rng(seed).integers(n)) for axis, n in zip(stack.axes, stack.shape, strict=True) if axis not in "CYX")
    bridge.step_to_plane(viewer, layer, wanted)
    assert bridge.visible_plane(viewer, layer) == wanted
    assert read_plane(stack, wanted).shape[-2:] == (stack.shape[stack.axes.index("Y")], stack.shape[stack.axes.index("X")])


def test_rotated_sheared_and_transformed_images_keep_their_results_in_place():
    affine = np.eye(4)
    affine[:3, 3] = (5, 7, 9)
    layer = Image(np.zeros((3, 8, 9)), scale=(2, 1, 1), rotate=np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]), shear=(0.1, 0.2, 0.3), affine=affine)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    result = bridge.add_labels(viewer, Segmentation(Labels(np.ones((3, 8, 9), np.uint8), "ZYX")), layer, "r")
    for corner in [(0, 0, 0), (2, 7, 8), (1, 3, 4)]:
        assert np.allclose(layer.data_to_world(corner), result.data_to_world(corner))


def test_an_rgb_image_has_colour_samples_and_its_result_has_none():
    layer = Image(np.zeros((4, 8, 9, 3), np.uint8), rgb=True)
    assert bridge.axes_of(layer) == "ZYXS"
    assert bridge.label_shape_of(layer) == (4, 8, 9)
    assert bridge.stack_of(layer).label_axes == "ZYX"


def test_axis_names_in_words_are_understood():
    layer = Image(np.zeros((2, 3, 4, 5)), axis_labels=("time", "depth", "row", "column"))
    assert bridge.axes_of(layer) == "TZYX"


def test_a_layer_with_six_dimensions_is_refused_with_a_hint():
    with pytest.raises(AxesError, match="6 dimensions") as caught:
        bridge.axes_of(Image(np.zeros((1, 1, 1, 1, 2, 2))))
    assert caught.value.hint


def test_running_again_with_many_labels_replaces_the_layer_in_its_place_with_its_looks():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 30, 30)), name="em")
    many = np.arange(1800).reshape(2, 30, 30)
    first = bridge.add_labels(viewer, Segmentation(Labels(many, "ZYX")), image, "em · Canny")
    first.opacity, first.contour, first.visible = 0.3, 2, False
    viewer.add_points(np.zeros((1, 3)), name="seeds")
    second = bridge.add_labels(viewer, Segmentation(Labels(many[:, ::-1], "ZYX")), image, "em · Canny")
    assert [layer.name for layer in viewer.layers] == ["em", "em · Canny", "seeds"]
    assert (second.opacity, second.contour, second.visible) == (0.3, 2, False)
    np.testing.assert_array_equal(second.data, many[:, ::-1])


def two_results(edit):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 6, 6)), name="em")
    first = bridge.add_labels(viewer, Segmentation(Labels(np.ones((2, 6, 6), np.int64), "ZYX")), image, "em · Otsu")
    edit(first)
    second = bridge.add_labels(viewer, Segmentation(Labels(np.full((2, 6, 6), 2), "ZYX")), image, "em · Otsu")
    return viewer, first, second


def test_running_again_updates_the_same_layer():
    viewer, first, second = two_results(lambda layer: None)
    assert second is first
    assert len(viewer.layers) == 2
    assert (second.data == 2).all()
    assert second.data.dtype == np.uint8


@pytest.mark.parametrize(
    "edit", [lambda layer: layer.paint((0, 3, 3), 5), lambda layer: layer.data.__setitem__((0, 0, 0), 5), lambda layer: layer.fill((0, 0, 0), 3)]
)
def test_running_again_never_overwrites_what_the_user_has_edited(edit):
    viewer, first, second = two_results(edit)
    assert second is not first
    assert 2 not in np.unique(first.data)
    assert second.name.startswith("em · Otsu")
    third = bridge.add_labels(viewer, Segmentation(Labels(np.full((2, 6, 6), 3), "ZYX")), viewer.layers["em"], "em · Otsu")
    assert third is second


def test_undo_after_running_again_does_not_bring_back_pixels_of_the_old_result():
    _, _, layer = two_results(lambda layer: None)
    layer.undo()
    assert (layer.data == 2).all()


def test_classes_have_the_colours_of_the_lists_and_plots():
    _, _, layer = two_results(lambda layer: None)
    assert np.allclose(layer.get_color(1)[:3], np.array([0xE6, 0x9F, 0x00]) / 255)
    assert layer.colormap.map(0)[3] == 0


@pytest.mark.parametrize(
    ("axes", "shape", "rgb"), [("ZYX", (3, 5, 6), False), ("ZCYX", (3, 2, 5, 6), False), ("YXS", (5, 6, 3), True), ("ZYXS", (2, 5, 6, 4), True)]
)
def test_a_stack_goes_to_a_layer_and_back_with_every_pixel(axes, shape, rgb):
    data = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    stack = Stack(data, axes, (0.05, 0.004, 0.004) if "Z" in axes else (0.004, 0.004), "s")
    pixels, meta, kind = layer_of_stack(stack)
    layer = Image(pixels, **meta)
    back = bridge.stack_of(layer)
    assert (kind, layer.rgb, back.spacing_um) == ("image", rgb, pytest.approx(stack.spacing_um))
    for index in range(shape[0] if "Z" in axes else 1):
        plane = (index,) if "Z" in axes else ()
        np.testing.assert_array_equal(read_plane(back, plane), read_plane(stack, plane))


def test_truth_labels_of_a_sample_lie_on_the_sample():
    stack = Stack(np.zeros((3, 5, 6)), "ZYX", (0.05, 0.004, 0.004), "em")
    data, meta, _ = layer_of_labels(Labels(np.ones((3, 5, 6), np.uint8), "ZYX", ("background", "membrane")), stack)
    layer = LabelsLayer(data, **meta)
    assert bridge.spacing_of(layer) == pytest.approx(stack.spacing_um)
    assert bridge.labels_of(layer).class_names == ("background", "membrane")


@pytest.fixture
def session(tmp_path):
    viewer = ViewerModel()
    made = Session(viewer, Memory(tmp_path / "window.json"))
    yield made
    made.close()


def test_corrected_axes_and_spacing_hold_for_the_image_and_for_what_lies_over_it(session):
    image = session.viewer.add_image(np.zeros((4, 5, 6)), name="em")
    paint = session.viewer.add_labels(np.zeros((4, 5, 6), np.uint8))
    before = session.stack(image)
    session.correct(image, "tyx", (0.2, 0.1))
    stack = session.stack(image)
    assert stack is not before
    assert (stack.axes, stack.spacing_um) == ("TYX", pytest.approx((0.2, 0.1)))
    assert bridge.spacing_of(paint) == pytest.approx((0.2, 0.1))
    assert bridge.paint_of(paint).axes == "TYX"


@pytest.mark.parametrize(
    ("axes", "spacing", "error"), [("ZY", (), AxesError), ("ZYY", (), AxesError), ("ZYX", (1.0,), SpacingError), ("ZYX", (1.0, 0.0, 1.0), SpacingError)]
)
def test_a_correction_that_does_not_fit_changes_nothing(session, axes, spacing, error):
    image = session.viewer.add_image(np.zeros((4, 5, 6)), name="em", scale=(3, 2, 2), units="um")
    with pytest.raises(error):
        session.correct(image, axes, spacing)
    assert tuple(image.scale) == (3, 2, 2)


def test_the_stack_of_a_layer_keeps_its_memo_until_the_data_change(session):
    image = session.viewer.add_image(np.zeros((4, 5, 6)), name="em")
    session.stack(image).memo["histogram"] = 1
    assert session.stack(image).memo == {"histogram": 1}
    image.data = np.ones((4, 5, 6))
    assert session.stack(image).memo == {}


def test_the_session_chooses_an_image_and_paint_that_fits_and_lets_them_go(session):
    heard = []
    session.image_changed.connect(heard.append)
    image = session.viewer.add_image(np.zeros((4, 5, 6)))
    session.viewer.add_labels(np.zeros((9, 9), np.uint8), name="does not fit")
    assert session.labels is None
    paint = session.viewer.add_labels(np.zeros((4, 5, 6), np.uint8))
    assert (session.image, session.labels) == (image, paint)
    session.viewer.layers.remove(image)
    session.viewer.layers.remove(paint)
    assert session.image is None
    assert heard == [image, None]


def test_what_a_panel_remembers_is_there_next_time_and_a_damaged_file_is_no_reason_to_fail(tmp_path):
    path = tmp_path / "folder" / "window.json"
    Memory(path).remember("segment", {"method": "otsu"})
    assert Memory(path).recall("segment") == {"method": "otsu"}
    path.write_text("{ not json")
    assert Memory(path).recall("segment") == {}
    (tmp_path / "file").write_text("")
    Memory(tmp_path / "file" / "window.json").remember("segment", {"method": "otsu"})
