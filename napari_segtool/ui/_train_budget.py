"""How long to train: minutes, or steps."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_segtool.ui._fields import guard_wheel

_HELP = {
    "minutes": "How long it learns. Ten minutes give a usable network, an hour a good one; you can stop early and keep the best, or resume later.",
    "steps": "How many steps it learns. With a number of steps the same seed gives the same network on the processor.",
}
_FIRST = {"minutes": 10.0, "steps": 1000.0}
_LIMITS = {"minutes": (0.1, 10000.0, 1), "steps": (1.0, 10000000.0, 0)}


class _PlainSpin(QDoubleSpinBox):
    """Shows 10 as "10", and 0.5 as "0.5"."""

    def textFromValue(self, value: float) -> str:  # noqa: N802
        return f"{value:.1f}".rstrip("0").rstrip(".")


class Budget(QWidget):
    """A number and its unit; each unit keeps its own number."""

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._numbers = dict(_FIRST)
        self.spin = _PlainSpin()
        self.spin.setAccessibleName("Time")
        self.spin.setKeyboardTracking(False)
        self.spin.setMinimumWidth(70)
        self.unit = QComboBox()
        self.unit.addItem("minutes", "minutes")
        self.unit.addItem("steps", "steps")
        self.unit.setAccessibleName("Unit of the time")
        self.unit.setToolTip("Minutes, or steps of the optimiser.")
        guard_wheel(self.spin)
        guard_wheel(self.unit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.spin, 1)
        layout.addWidget(self.unit, 1)
        self._show("minutes")
        self.spin.valueChanged.connect(self._typed)
        self.unit.activated.connect(self._unit_chosen)

    @property
    def minutes(self) -> float:
        """Minutes; 0 where steps count."""
        return self.spin.value() if self.unit.currentData() == "minutes" else 0.0

    @property
    def steps(self) -> int:
        """Steps; 0 where minutes count."""
        return int(self.spin.value()) if self.unit.currentData() == "steps" else 0

    def set_budget(self, *, minutes: float = 0, steps: int = 0) -> None:
        """Show a budget without saying so; whichever is not 0 counts."""
        unit = "steps" if steps else "minutes"
        self._numbers[unit] = float(steps or minutes or _FIRST[unit])
        self._show(unit)

    def record(self) -> dict[str, Any]:
        """Return what `set_budget` takes."""
        return {"minutes": self.minutes, "steps": self.steps}

    def _show(self, unit: str) -> None:
        low, high, decimals = _LIMITS[unit]
        with signals_blocked(self.spin):
            self.unit.setCurrentIndex(self.unit.findData(unit))
            self.spin.setDecimals(decimals)
            self.spin.setRange(low, high)
            self.spin.setSingleStep(1 if unit == "minutes" else 100)
            self.spin.setValue(self._numbers[unit])
        self.spin.setToolTip(_HELP[unit])

    def _typed(self, value: float) -> None:
        self._numbers[str(self.unit.currentData())] = value
        self.edited.emit()

    def _unit_chosen(self, _: int) -> None:
        self._show(str(self.unit.currentData()))
        self.edited.emit()
