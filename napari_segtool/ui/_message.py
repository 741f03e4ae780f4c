"""The line at the foot of a panel that says what happened or what is missing, and offers the way on."""

from __future__ import annotations

import html
import traceback
from collections.abc import Callable, Mapping
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialog, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.ui._frame import wrapping

Kind = Literal["info", "good", "warning", "bad"]
_MARKS: dict[Kind, str] = {"info": "", "good": "✓ ", "warning": "▲ ", "bad": "✕ "}
_COLOURS: dict[Kind, str] = {"info": "", "good": "#009E73", "warning": "#E69F00", "bad": "#D55E00"}
LINK_COLOURS = {"dark": "#56B4E9", "light": "#0072B2"}


class MessageLine(QLabel):
    """Rich text with links that the mouse and the keyboard reach; the place for two lines is reserved."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions: dict[str, Callable[[], object]] = {}
        self.kind: Kind = "info"
        self.plain = ""
        wrapping(self, QSizePolicy.Policy.MinimumExpanding)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.setOpenExternalLinks(False)
        self.setMinimumHeight(2 * self.fontMetrics().lineSpacing() + 4)
        self.linkActivated.connect(self._act)
        self._link_colour = LINK_COLOURS["dark"]

    def say(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None, kind: Kind = "info") -> None:
        """Show ``text`` (lines are kept) and a link for each action."""
        self._actions = dict(actions or {})
        self.kind, self.plain = kind, text
        colour = f' style="color:{_COLOURS[kind]}"' if _COLOURS[kind] else ""
        body = html.escape(text).replace("\n", "<br>")
        links = " ".join(f'<a href="{html.escape(name)}" style="color:{self._link_colour}">[{html.escape(name)}]</a>' for name in self._actions)
        self.setText(f"<b{colour}>{_MARKS[kind]}</b>{body} {links}" if text else "")

    def set_theme(self, dark: bool) -> None:
        """Take link colours that can be read on a dark or a light window."""
        self._link_colour = LINK_COLOURS["dark" if dark else "light"]
        self.say(self.plain, self._actions, self.kind)

    def clear(self) -> None:
        """Say nothing."""
        self.say("")

    def act(self, name: str) -> None:
        """Do what the link called ``name`` does."""
        self._actions[name]()

    @property
    def offers(self) -> tuple[str, ...]:
        """Names of the links shown."""
        return tuple(self._actions)

    def _act(self, name: str) -> None:
        action = self._actions.get(name)
        if action is not None:
            action()


class DetailsDialog(QDialog):
    """The full text of an error, to read and copy. It does not block the window."""

    def __init__(self, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Details")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(720, 420)
        self._text = QPlainTextEdit(text)
        self._text.setReadOnly(True)
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        copy, close = QPushButton("Copy"), QPushButton("Close")
        copy.clicked.connect(self._copy)
        close.clicked.connect(self.close)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(copy)
        row.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._text)
        layout.addLayout(row)

    def _copy(self) -> None:
        QApplication.clipboard().setText(self._text.toPlainText())


def plain_words(error: BaseException) -> str:
    """Return what went wrong, and what to do, without a traceback."""
    if isinstance(error, SegtoolError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this.\nClose other layers or programs, or work on fewer slices."
    first = next(iter(str(error).splitlines()), "")
    return f"Something went wrong that should not have: {type(error).__name__}{': ' + first if first else ''}.\nThe details help to mend it."


def full_text(error: BaseException) -> str:
    """Return the error with its traceback, for Details."""
    return "".join(traceback.format_exception(error))
