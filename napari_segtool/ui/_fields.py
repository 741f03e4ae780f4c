"""One widget for one parameter: silent when code sets it, speaks when the user does, and deaf to the wheel until focused."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QHBoxLayout, QLineEdit, QSlider, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_segtool.core.params import FieldInfo

SLIDER_STEPS = 256
_PLAIN_DECIMALS = 3
_INT_LIMIT = 2**31 - 1


class WheelGuard(QObject):
    """Event filter that lets the wheel scroll the panel instead of changing a value that has no focus."""

    def eventFilter(self, widget: QObject, event: QEvent) -> bool:  # noqa: N802
        """Hand the wheel on to the scroll area unless the widget has the focus."""
        if event.type() == QEvent.Type.Wheel and isinstance(widget, QWidget) and not widget.hasFocus():
            event.ignore()
            return True
        return False


def guard_wheel(widget: QWidget) -> None:
    """Make ``widget`` ignore the wheel until it is focused by a click or the keyboard."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(WheelGuard(widget))


class Field(QWidget):
    """Base: a widget with a value, and a signal for the user's changes only."""

    edited = Signal()
    first: QWidget
    """The part that takes the focus first."""

    def value(self) -> Any:
        """Return the value, as `Params` takes it."""
        raise TypeError("a field has a value")

    def set_value(self, value: Any) -> None:
        """Show ``value`` without saying so."""
        raise TypeError("a field has a value")

    def _lay(self, *widgets: QWidget) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in widgets:
            layout.addWidget(widget, 1 if isinstance(widget, QSlider) else 0 if len(widgets) > 1 else 1)
        self.first = widgets[0]  # no focus proxy: Qt then lets Tab stop at the container too, out of order


class _FineSpin(QDoubleSpinBox):
    """Has many decimals, and shows those that are not 0: "0.001", not "0.0010000"."""

    def textFromValue(self, value: float) -> str:  # noqa: N802
        whole, point, digits = super().textFromValue(value).partition(self.locale().decimalPoint())
        kept = digits.rstrip("0") or "0"
        return f"{whole}{point}{kept}" if point else whole


class NumberField(Field):
    """A spin box with its unit, and a slider beside it where both bounds are known and near enough to slide between."""

    def __init__(self, info: FieldInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        whole = info.kind == "int"
        low = info.minimum if info.minimum is not None else -_INT_LIMIT
        high = info.maximum if info.maximum is not None else _INT_LIMIT
        self.box: QSpinBox | QDoubleSpinBox = QSpinBox() if whole else _FineSpin() if _decimals(info) > _PLAIN_DECIMALS else QDoubleSpinBox()
        self._whole = whole
        if isinstance(self.box, QDoubleSpinBox):
            self.box.setDecimals(_decimals(info))
            self.box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            self.box.setRange(low, high)
        else:
            self.box.setRange(max(int(low), -_INT_LIMIT), min(int(high), _INT_LIMIT))
        self.box.setKeyboardTracking(False)
        self.box.setSuffix(f" {info.unit}" if info.unit else "")
        self.box.setToolTip(info.help)
        self.box.setMinimumWidth(118)
        self.slider: QSlider | None = None
        guard_wheel(self.box)
        if slides(info):
            self.slider = QSlider(Qt.Orientation.Horizontal)
            self.slider.setRange(0, int(high - low) if whole and high - low <= 4096 else SLIDER_STEPS)
            self.slider.setToolTip(info.help)
            self.slider.setAccessibleName(info.label)
            self.slider.setMinimumWidth(60)
            guard_wheel(self.slider)
            self._lay(self.slider, self.box)
            self.slider.valueChanged.connect(self._slid)
        else:
            self._lay(self.box)
        self.box.setAccessibleName(info.label)
        self.set_value(info.default)
        self.box.valueChanged.connect(self._typed)

    def value(self) -> Any:
        """Return the number."""
        return self.box.value()

    def set_value(self, value: Any) -> None:
        """Show the number, clipped to the bounds, without saying so."""
        with signals_blocked(self.box):
            self.box.setValue(int(value) if self._whole else float(value))
        self._follow()

    def _follow(self) -> None:
        if self.slider is not None:
            low, high = self.box.minimum(), self.box.maximum()
            with signals_blocked(self.slider):
                self.slider.setValue(round((self.box.value() - low) / (high - low) * self.slider.maximum()))

    def _slid(self, position: int) -> None:
        assert self.slider is not None
        low, high = self.box.minimum(), self.box.maximum()
        value = low + (high - low) * position / self.slider.maximum()
        with signals_blocked(self.box):
            self.box.setValue(round(value) if self._whole else value)
        self.edited.emit()

    def _typed(self, _: float) -> None:
        self._follow()
        self.edited.emit()


class ChoiceField(Field):
    """A combo box of the allowed words."""

    def __init__(self, info: FieldInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QComboBox()
        for choice in info.choices:
            self.box.addItem(choice.replace("_", " "), choice)
        self.box.setToolTip(info.help)
        self.box.setAccessibleName(info.label)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(8)
        guard_wheel(self.box)
        self._lay(self.box)
        self.set_value(info.default)
        self.box.activated.connect(self._chosen)

    def value(self) -> Any:
        """Return the word chosen."""
        return self.box.currentData()

    def set_value(self, value: Any) -> None:
        """Show the word, without saying so; an unknown one is ignored."""
        position = self.box.findData(str(value))
        if position >= 0:
            self.box.setCurrentIndex(position)

    def _chosen(self, _: int) -> None:
        self.edited.emit()


class SwitchField(Field):
    """A check box."""

    def __init__(self, info: FieldInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox(info.label)
        self.box.setToolTip(info.help)
        self._lay(self.box)
        self.set_value(info.default)
        self.box.clicked.connect(self._clicked)

    def value(self) -> Any:
        """Return whether it is on."""
        return self.box.isChecked()

    def set_value(self, value: Any) -> None:
        """Switch it without saying so."""
        self.box.setChecked(bool(value))

    def _clicked(self, _: bool) -> None:
        self.edited.emit()


class TextField(Field):
    """A line of text."""

    def __init__(self, info: FieldInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QLineEdit()
        self.box.setToolTip(info.help)
        self.box.setAccessibleName(info.label)
        self._lay(self.box)
        self.set_value(info.default)
        self._said = self.box.text()
        self.box.editingFinished.connect(self._finished)

    def value(self) -> Any:
        """Return the text."""
        return self.box.text()

    def set_value(self, value: Any) -> None:
        """Show the text without saying so."""
        self.box.setText(str(value))
        self._said = self.box.text()

    def _finished(self) -> None:
        if self.box.text() != self._said:  # Qt also says so when the line merely loses the focus
            self._said = self.box.text()
            self.edited.emit()


def field_for(info: FieldInfo, parent: QWidget | None = None) -> Field:
    """Make the widget that suits the parameter."""
    kinds = {"int": NumberField, "float": NumberField, "choice": ChoiceField, "bool": SwitchField}
    return kinds.get(info.kind, TextField)(info, parent)


def slides(info: FieldInfo) -> bool:
    """True where a slider can hit the values people use: both bounds known, and the default not lost at its left end."""
    if info.kind not in ("int", "float") or info.minimum is None or info.maximum is None:
        return False
    span = info.maximum - info.minimum
    if span <= 0 or not math.isfinite(span):
        return False
    return info.default == info.minimum or (info.default - info.minimum) / span >= 0.01


def _decimals(info: FieldInfo) -> int:
    """Enough decimals for every number the declaration mentions, and one more to tune the smallest."""
    numbers = [abs(value) for value in (info.default, info.minimum, info.maximum) if value]
    smallest = min(numbers, default=1.0)
    written = max((len(f"{value:.10f}".rstrip("0").partition(".")[2]) for value in numbers), default=0)
    return min(10, max(1, 1 - math.floor(math.log10(smallest)), written))
