"""What a training would choose, worked out quietly while nothing else goes on, so that the panel can say it before anybody asks."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_segtool.core.errors import SegtoolError
from napari_segtool.ui._jobs import Job
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_adviser import Adviser
from napari_segtool.ui._train_desk import TrainingDesk
from napari_segtool.ui._train_order import Missing, Order
from napari_segtool.ui._train_tool import Find

if TYPE_CHECKING:
    from napari_segtool.training.configure._proposal import Proposal

IDLE_MS = 1500
"""It is asked when nothing has changed for so long."""
MOST_BYTES = 256 * 2**20
"""Images and labels are handed over as files: larger ones only when the user asks."""


class PlanAhead(QObject):
    """The proposal for what is chosen in the Train panel now; get it with ``session.shared(PlanAhead)``.

    Attributes
    ----------
    proposal : Proposal or None
        None until it is worked out, and as soon as something has changed.
    version : int
        Counts the changes.
    """

    changed = Signal()
    """`proposal` is another one."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.proposal: Proposal | None = None
        self.version = 0
        self._session = session
        self._adviser = session.shared(Adviser)
        self._desk = session.shared(TrainingDesk)
        self._find: Find | None = None
        self._job: Job | None = None
        self._asked = -1
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(IDLE_MS)
        self._timer.timeout.connect(self._ask)
        self._desk.begun.connect(self._stop)
        self._desk.ended.connect(self._wake)
        self._desk.failed.connect(self._wake)
        session.paint.changed.connect(self.forget)
        session.closing.connect(self._stop)

    def watch(self, find: Find) -> None:
        """Work it out from now on; ``find`` returns what would be trained."""
        self._find = find
        self._wake()

    def leave(self) -> None:
        """Work nothing out any more, since nobody looks, and give the memory back."""
        self._find = None
        used = self._asked >= 0
        self._stop()
        if used and not self._session.closed:
            self._session.start(self._adviser.rest_steps, "freeing memory").start()

    def forget(self, _: object = None) -> None:
        """Something of what would be trained has changed."""
        self.version += 1
        if self.proposal is not None:
            self.proposal = None
            self.changed.emit()
        self._wake()

    def keep(self, version: int, proposal: Proposal) -> None:
        """Take what was worked out when `version` was this; if something has changed since, it is of no use."""
        if version == self.version:
            self.proposal = proposal
            self.changed.emit()

    def _wake(self, _: object = None) -> None:
        if self._find is not None:
            self._timer.start()

    def _stop(self) -> None:
        self._timer.stop()
        self._asked = -1
        if self._job is not None:
            self._job.cancel()

    def _ask(self) -> None:
        if self._find is None or self._desk.busy or self._job is not None or self.proposal is not None or self._asked == self.version:
            return
        if self._session.paint.busy or QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._timer.start()
            return
        order = _order(self._find)
        if order is None or _size(order) > MOST_BYTES:
            return
        self._asked = self.version
        self._job = job = self._session.start(partial(self._adviser.ask_steps, "proposal", order), "plan")
        job.returned.connect(self._arrived)
        job.finished.connect(self._answered)
        job.start()

    def _arrived(self, proposal: Proposal) -> None:
        self.keep(self._asked, proposal)

    def _answered(self) -> None:
        self._job = None
        if self._asked != self.version:
            self._wake()


def _order(find: Find) -> Order | None:
    """What would be trained, if nothing is missing or wrong: whoever presses Train is told."""
    try:
        found = find()
    except SegtoolError:
        return None
    return None if isinstance(found, Missing) else found


def _size(order: Order) -> int:
    arrays = [array for stack, marks, _ in order.pairs for array in (stack.data, marks.data)]
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
