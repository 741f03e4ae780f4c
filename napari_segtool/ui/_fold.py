"""A heading that folds what stands under it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget


class Fold(QWidget):
    """A button with an arrow over content that it shows and hides.

    Not superqt's ``QCollapsible``: that fixes the height of its content when it opens, which cuts off forms that grow later,
    and paints its arrow in the colour of the theme it was made under.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QPushButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setFlat(True)
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)  # Qt centres the text of a wider one
        self.button.setStyleSheet("QPushButton { text-align: left; border: none; background: transparent; padding: 2px 0px; }")
        self._title = title
        self.content = QWidget()
        self.content.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.head = QHBoxLayout()
        """The line of the heading; more may be put behind it."""
        self.head.setSpacing(2)
        self.head.addWidget(self.button)
        self.head.addStretch()
        layout.addLayout(self.head)
        layout.addWidget(self.content)
        self.button.toggled.connect(self._toggle)
        self._toggle(False)

    def setContentLayout(self, layout: QLayout) -> None:  # noqa: N802
        """Fill the content with ``layout``."""
        layout.setContentsMargins(12, 0, 0, 0)
        self.content.setLayout(layout)

    @property
    def unfolded(self) -> bool:
        """True while the content is shown."""
        return self.button.isChecked()

    def unfold(self, on: bool = True) -> None:
        """Show or hide the content."""
        self.button.setChecked(on)

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self._title = title
        self._toggle(self.unfolded)

    def _toggle(self, on: bool) -> None:
        self.button.setText(f"{'▾' if on else '▸'} {self._title}")
        self.content.setVisible(on)
