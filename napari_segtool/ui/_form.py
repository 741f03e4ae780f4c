"""A form made from a `Params` declaration: nothing is written twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import FieldInfo, Params, describe
from napari_segtool.ui._fields import Field, SwitchField, field_for
from napari_segtool.ui._fold import Fold

CAPTION_PX = 80


class ParamsForm(QWidget):
    """Widgets for every field of a `Params` class; the advanced ones are folded away.

    Parameters
    ----------
    params_class
        The declaration.
    hidden
        Fields the panel shows in its own way; their values are kept. Fields of kind ``points`` are always hidden.
    """

    changed = Signal(str)
    """Name of the field the user has just changed; never emitted by `set_values`."""

    def __init__(self, params_class: type[Params], *, hidden: Collection[str] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.params_class = params_class
        self.fields: dict[str, Field] = {}
        self._kept: dict[str, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._plain, self.fold = form_layout(), Fold("Advanced")
        folded = form_layout()
        self.fold.setContentLayout(folded)
        for info in describe(params_class):
            if info.kind == "points" or info.name in hidden:
                self._kept[info.name] = info.default
            else:
                self._add(info, folded if info.advanced else self._plain)
        layout.addLayout(self._plain)
        layout.addWidget(self.fold)
        self.fold.setVisible(folded.rowCount() > 0)

    def values(self) -> dict[str, Any]:
        """Return the value of every field, those the panel keeps included."""
        shown = {name: field.value() for name, field in self.fields.items()}
        return {info.name: shown.get(info.name, self._kept.get(info.name)) for info in describe(self.params_class)}

    def params(self) -> Params:
        """Return the values as a parameter set.

        Raises
        ------
        ParameterError
            If one is not allowed; it says which and what is.
        """
        return self.params_class.build(**self.values())

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show ``values`` without emitting `changed`; names that are unknown and values that are not allowed are skipped."""
        for name, value in values.items():
            try:
                clean = getattr(self.params_class.build(**{name: value}), name)
            except ParameterError:
                continue
            if name in self.fields:
                self.fields[name].set_value(clean)
            elif name in self._kept:
                self._kept[name] = clean

    def reset(self) -> None:
        """Show the defaults, without emitting `changed`."""
        self.set_values({info.name: info.default for info in describe(self.params_class)})

    def _add(self, info: FieldInfo, layout: QFormLayout) -> None:
        field = field_for(info, self)
        self.fields[info.name] = field
        field.setObjectName(info.name)
        field.setToolTip(info.help)
        if isinstance(field, SwitchField):
            layout.addRow(field)
        else:
            label = caption(info.label)
            label.setToolTip(info.help)
            label.setBuddy(field.first)
            layout.addRow(label, field)
        field.edited.connect(self._edited)

    def _edited(self) -> None:
        sender = self.sender()
        assert sender is not None
        self.changed.emit(sender.objectName())


def caption(text: str) -> QLabel:
    """Return the label in front of a field; all are of one width, so that the fields of a panel stand in one column."""
    label = QLabel(text)
    label.setMinimumWidth(CAPTION_PX)
    return label


def form_layout() -> QFormLayout:
    """Return a form layout as all panels use it: labels left, fields as wide as there is room."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(8)
    layout.setVerticalSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
    return layout
