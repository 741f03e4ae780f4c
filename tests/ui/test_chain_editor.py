"""The editor of chains: links are added, moved, switched and removed, and what is shown is what is returned."""

from __future__ import annotations

import json

import pytest
from qtpy.QtCore import Qt

from napari_segtool.core.registry import FILTERS
from napari_segtool.ui._chain_editor import ChainEditor


@pytest.fixture
def editor(qtbot):
    made = ChainEditor("Prepare", "Filters before.", FILTERS, ("denoise",), "Add a filter…")
    qtbot.addWidget(made)
    made.show()
    made.fold.unfold()
    return made


def add(editor, name):
    """Choose an entry of the box as a user does."""
    editor.box.activated.emit(editor.box.findData(name))


def names(editor):
    return [link.name for link in editor.links()]


def test_an_empty_chain_says_what_it_is_for_and_offers_every_filter_under_its_family(editor):
    assert editor.links() == ()
    assert editor.purpose.isVisible()
    assert {editor.box.itemData(i) for i in range(editor.box.count())} - {None} == set(FILTERS.names())
    assert editor.box.itemText(0) == "Denoise"
    assert not editor.box.model().item(0).flags() & Qt.ItemFlag.ItemIsSelectable
    gaussian = editor.box.findData("gaussian")
    assert editor.box.itemData(gaussian, Qt.ItemDataRole.ToolTipRole) == FILTERS.get("gaussian").summary


def test_links_are_added_moved_switched_and_removed_and_every_act_is_told_once(editor):
    told = []
    editor.rebuilt.connect(lambda: told.append(names(editor)))
    add(editor, "median")
    add(editor, "gaussian")
    assert editor.box.currentIndex() == -1
    assert editor.fold.button.text().endswith("Prepare: Median → Gaussian")
    assert [row.fold.unfolded for row in editor.rows] == [False, True]  # the newest is open
    editor.rows[1].buttons["up"].click()
    editor.rows[1].switch.click()
    editor.rows[1].switch.click()
    assert not editor.rows[0].buttons["up"].isEnabled()
    editor.rows[0].buttons["away"].click()
    assert told == [["median"], ["median", "gaussian"], ["gaussian", "median"], ["gaussian"], ["gaussian", "median"], ["median"]]
    editor.rows[0].buttons["away"].click()
    assert editor.fold.button.text().endswith("Prepare")


def test_the_order_on_the_screen_is_the_order_of_work(editor, qtbot):
    for name in ("median", "gaussian", "gamma"):
        add(editor, name)
    editor.rows[2].buttons["up"].click()
    qtbot.wait(20)
    tops = [row.mapToGlobal(row.rect().topLeft()).y() for row in editor.rows]
    assert tops == sorted(tops)
    assert names(editor) == ["median", "gamma", "gaussian"]


def test_settings_of_a_link_are_those_of_its_form_and_moving_one_is_told_only_while_it_is_on(editor):
    add(editor, "gaussian")
    told = []
    editor.edited.connect(lambda: told.append(editor.links()[0].params["sigma_px"] if editor.links() else None))
    editor.rows[0].form.fields["sigma_px"].box.setValue(3.5)
    assert told == [3.5]
    editor.rows[0].switch.click()
    editor.rows[0].form.fields["sigma_px"].box.setValue(4.5)
    assert told == [3.5]
    assert editor.links() == ()


def test_a_chain_can_be_kept_as_json_and_shown_again_without_a_word(editor, qtbot):
    add(editor, "gaussian")
    editor.rows[0].form.set_values({"sigma_px": 2.5})
    add(editor, "median")
    editor.rows[1].switch.click()
    kept = json.loads(json.dumps(editor.record()))
    other = ChainEditor("Prepare", "Filters before.", FILTERS)
    qtbot.addWidget(other)
    told = []
    other.rebuilt.connect(lambda: told.append(1))
    other.restore([*kept, {"name": "of another version"}])
    assert other.links() == editor.links()
    assert other.record() == kept
    assert told == []


def test_every_control_can_be_reached_by_tab_and_has_a_name(editor):
    add(editor, "gaussian")
    row = editor.rows[0]
    for widget in (editor.box, row.switch, *row.buttons.values(), row.fold.button):
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert widget.toolTip()
    assert row.buttons["up"].accessibleName() == "Apply Gaussian earlier."
