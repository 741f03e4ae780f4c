"""Before training: one fold with the ways to look at what is about to be trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_segtool.ui._fold import Fold
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_examples import Examples
from napari_segtool.ui._train_network import Network
from napari_segtool.ui._train_order import Missing
from napari_segtool.ui._train_rates import Rates
from napari_segtool.ui._train_tool import Find, TakeOver, Tool, ToolWindows
from napari_segtool.ui._train_why import Why

_TOOLS: tuple[tuple[str, str, type[Tool]], ...] = (
    ("What it will do and why…", "The settings that are chosen from your images, one reason each, and about how much memory and time it takes.", Why),
    ("Look at examples…", "Patches as the network will see them, varied, with your labels over them.", Examples),
    ("Network…", "A drawing of the network: layers, shapes, how far it sees, parameters, memory.", Network),
    ("Find learning rate…", "A short test that shows which learning rate suits this network and these images.", Rates),
)


class BeforeTraining(Fold):
    """Buttons that open a window each, and one that adds the weight map as a layer.

    Parameters
    ----------
    session
        Whose windows they are.
    find
        Returns what would be trained now, or what is missing.
    take_over
        Puts values into the settings.
    missing
        Says in the panel what is missing.
    weigh
        Shows the weight map as a layer.
    guarded
        Does something and says in the panel what went wrong.
    """

    def __init__(
        self,
        session: Session,
        find: Find,
        take_over: TakeOver,
        missing: Callable[[Missing], object],
        weigh: Callable[[], object],
        guarded: Callable[[Callable[[], object]], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Before training", parent)
        self._session, self._find, self._take_over, self._missing, self._guarded = session, find, take_over, missing, guarded
        self.button.setToolTip("Look at what is about to be trained: examples, weights of pixels, the network, and why it is set so.")
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        self.buttons: dict[str, QPushButton] = {}
        for number, (text, tip, kind) in enumerate(_TOOLS):
            self._add(grid, number, text, tip, partial(self._open, kind))
        self._add(
            grid,
            len(_TOOLS),
            "Weight map as layer",
            "How much each pixel counts: rare classes more, and the narrow gaps between objects where a border weight is set.",
            weigh,
        )
        self.setContentLayout(grid)

    def _add(self, grid: QGridLayout, number: int, text: str, tip: str, action: Callable[[], object]) -> None:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(partial(self._pressed, action))
        self.buttons[text.rstrip("…")] = button
        if number == 0:
            grid.addWidget(button, 0, 0, 1, 2)
        else:
            grid.addWidget(button, (number + 1) // 2, (number + 1) % 2)

    def _pressed(self, action: Callable[[], object], _: Any = None) -> None:
        self._guarded(action)

    def _open(self, kind: type[Tool]) -> None:
        found = self._find()
        if isinstance(found, Missing):
            self._missing(found)
        else:
            self._session.shared(ToolWindows).show(kind, self._find, self._take_over)
