"""The form of the chosen method; forms of the others keep their values, also between sessions."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segtool.core.params import describe
from napari_segtool.core.registry import Entry
from napari_segtool.ui._form import ParamsForm
from napari_segtool.ui._memory import Memory

REMEMBER_AFTER_MS = 800


class MethodForms(QWidget):
    """One form at a time, made when its method is first chosen.

    Parameters
    ----------
    memory
        Where values are kept between sessions.
    section
        Their place in it, before the name of the method.
    """

    edited = Signal()
    made = Signal()
    """A form was made: the order of Tab has changed."""

    def __init__(self, memory: Memory, section: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._memory, self._section = memory, section
        self._forms: dict[str, ParamsForm] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._soon = QTimer(self)  # a slider that moves does not write a file at every step
        self._soon.setSingleShot(True)
        self._soon.setInterval(REMEMBER_AFTER_MS)
        self._soon.timeout.connect(self._remember)

    def form(self, entry: Entry) -> ParamsForm:
        """Return the form of a method."""
        if entry.name not in self._forms:
            form = ParamsForm(entry.params, parent=self)
            form.set_values(self._memory.recall(f"{self._section}.{entry.name}"))
            form.changed.connect(self._edited)
            form.hide()
            self._forms[entry.name] = form
            self._layout.addWidget(form)
            self.made.emit()
        return self._forms[entry.name]

    def show_for(self, entry: Entry) -> None:
        """Show the form of a method, and hide the others."""
        form = self.form(entry)
        for other in self._forms.values():
            other.setVisible(other is form)

    def values(self) -> dict[str, dict[str, Any]]:
        """Return the values of all forms made so far, by method."""
        return {name: form.values() for name, form in self._forms.items()}

    def tell_edited(self) -> None:
        """Say that the user has changed a value by other means than the form."""
        self._edited("")

    def flush(self) -> None:
        """Keep now what would be kept in a moment."""
        if self._soon.isActive():
            self._soon.stop()
            self._remember()

    def _edited(self, _: str) -> None:
        self._soon.start()
        self.edited.emit()

    def _remember(self) -> None:
        for name, form in self._forms.items():
            points = {info.name for info in describe(form.params_class) if info.kind == "points"}
            self._memory.remember(f"{self._section}.{name}", {key: value for key, value in form.values().items() if key not in points})
