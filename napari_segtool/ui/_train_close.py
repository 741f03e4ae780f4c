"""What to do with a training when napari is closed: the one place for a dialog."""

from __future__ import annotations

from typing import Literal

from qtpy.QtWidgets import QMessageBox, QWidget

Answer = Literal["background", "stop", "stay"]


class ClosingDialog(QMessageBox):
    """Asks what becomes of the training that runs; `answer` after it was executed."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setIcon(QMessageBox.Icon.Question)
        self.setWindowTitle("A training is running")
        self.setText("A training is still running.")
        self.setInformativeText(
            "In the background it goes on without napari, and is found again when napari is opened. Stopped, its best result so far is kept; it can be resumed."
        )
        self.background = self.addButton("Keep training in the background", QMessageBox.ButtonRole.AcceptRole)
        self.stop = self.addButton("Stop and keep", QMessageBox.ButtonRole.DestructiveRole)
        self.stay = self.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(self.background)
        self.setEscapeButton(self.stay)

    @property
    def answer(self) -> Answer:
        """What was chosen; closing the dialog stays."""
        clicked = self.clickedButton()
        return "background" if clicked is self.background else "stop" if clicked is self.stop else "stay"


def ask_closing(window: QWidget) -> Answer:
    """Ask what becomes of the training that runs."""
    dialog = ClosingDialog(window)
    dialog.exec()
    answer = dialog.answer
    dialog.deleteLater()
    return answer
