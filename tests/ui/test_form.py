"""Forms made from declarations: what is shown is what `Params` accepts, and only the user makes them speak."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QSlider

from napari_segtool.core.params import Params, describe, param
from napari_segtool.core.registry import FILTERS, LEARNERS, METHODS
from napari_segtool.ui._fields import NumberField, slides
from napari_segtool.ui._form import ParamsForm


class Everything(Params):
    """One field of every kind."""

    clusters: int = param(4, "Number of clusters.", ge=2, le=16)
    width_um: float = param(0.5, "Width.", unit="µm", ge=0, le=50)
    rate: float = param(0.001, "Step size.", ge=1e-6, le=1)
    count: int = param(10, "Any count.")
    keep: Literal["inside", "outside"] = param("inside", "Which to keep.")
    twice: bool = param(False, "Do it twice.")
    note: str = param("", "A note.", advanced=True)
    seeds: str = param("", "Places.", kind="points")


@pytest.fixture
def form(qtbot):
    made = ParamsForm(Everything)
    qtbot.addWidget(made)
    return made


def test_a_new_form_shows_the_defaults(form):
    assert form.params() == Everything()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clusters=st.integers(2, 16),
    width_um=st.integers(0, 5000).map(lambda n: n / 100),
    rate=st.integers(1, 10**6).map(lambda n: n / 10**6),
    count=st.integers(-(10**9), 10**9),
    keep=st.sampled_from(["inside", "outside"]),
    twice=st.booleans(),
    note=st.text("abc :,", max_size=8),
    seeds=st.just("1,2:3"),
)
def test_what_is_set_is_what_is_read_and_setting_is_silent(form, **values):
    heard = []
    form.changed.connect(heard.append)
    form.set_values(values)
    read = form.values()
    assert {name: read[name] for name in values} == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in values.items()}
    assert heard == []


def test_values_that_are_unknown_or_not_allowed_are_skipped(form):
    form.set_values({"clusters": 99, "nothing": 1, "keep": "both", "width_um": 2.5})
    assert form.params() == Everything(width_um=2.5)


def test_every_act_of_the_user_is_told_with_the_name_of_the_field(form):
    heard = []
    form.changed.connect(heard.append)
    form.fields["clusters"].slider.setValue(form.fields["clusters"].slider.value() + 1)
    form.fields["width_um"].box.setValue(3.0)
    form.fields["twice"].box.click()
    form.fields["keep"].box.setCurrentIndex(1)
    form.fields["keep"].box.activated.emit(1)
    form.fields["note"].box.setText("hello")
    form.fields["note"].box.editingFinished.emit()
    form.fields["note"].box.editingFinished.emit()  # Qt says so again when the focus leaves
    assert heard == ["clusters", "width_um", "twice", "keep", "note"]
    assert form.params() == Everything(clusters=5, width_um=3.0, twice=True, keep="outside", note="hello")


def test_slider_and_box_show_the_same_number(form):
    field = form.fields["width_um"]
    field.slider.setValue(field.slider.maximum())
    assert field.value() == 50
    field.box.setValue(0)
    assert field.slider.value() == field.slider.minimum()


def test_units_stand_behind_the_number_and_help_in_every_tooltip(form):
    assert form.fields["width_um"].box.suffix() == " µm"
    assert all(form.fields[info.name].toolTip() == info.help for info in describe(Everything) if info.name != "seeds")


def test_advanced_fields_are_folded_away_until_asked_for(form, qtbot):
    form.show()
    assert not form.fields["note"].isVisible()
    form.fold.unfold()
    assert form.fields["note"].isVisible()
    assert form.fields["clusters"].isVisible()


def wheel(widget):
    centre = QPointF(widget.rect().center())
    event = QWheelEvent(
        centre,
        QPointF(widget.mapToGlobal(widget.rect().center())),
        QPoint(0, 120),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


@pytest.mark.parametrize("name", ["clusters", "rate", "keep"])
def test_the_wheel_changes_nothing_until_the_field_is_focused(form, name):
    before = form.values()
    field = form.fields[name]
    wheel(field.box)
    if isinstance(field, NumberField) and field.slider is not None:
        wheel(field.slider)
    assert form.values() == before


def test_the_wheel_works_once_focused(form, qtbot):
    form.show()
    qtbot.waitExposed(form)
    box = form.fields["clusters"].box
    box.setFocus()
    form.activateWindow()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is box, timeout=2000)
    wheel(box)
    assert box.value() == 5


def test_a_slider_is_only_there_where_it_can_hit_the_usual_values():
    with_slider = {info.name for info in describe(Everything) if slides(info)}
    assert with_slider == {"clusters", "width_um"}  # a rate of 0.001 between 0.000001 and 1 would be lost at the left end


@pytest.mark.parametrize("entry", [*METHODS, *FILTERS, *LEARNERS], ids=lambda entry: entry.name)
def test_the_form_of_every_entry_shows_its_defaults_and_keeps_what_is_typed(qtbot, entry):
    form = ParamsForm(entry.params)
    qtbot.addWidget(form)
    assert form.params() == entry.params()
    for info in describe(entry.params):
        if info.kind in ("int", "float") and info.maximum is not None and info.name in form.fields:
            form.set_values({info.name: info.maximum})
            assert form.values()[info.name] == pytest.approx(info.maximum)
    assert all(slider.focusPolicy() == Qt.FocusPolicy.StrongFocus for slider in form.findChildren(QSlider))
