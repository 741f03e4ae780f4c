"""What it will do and why: the settings a training would choose from the images, one sentence for each, with memory and time."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidget, QTableWidgetItem

from napari_segtool.core.params import describe
from napari_segtool.core.registry import LEARNERS
from napari_segtool.training.configure._proposal import Proposal, Reason
from napari_segtool.ui._facts import count_text, duration_text, memory_text
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._train_ahead import PlanAhead
from napari_segtool.ui._train_desk import TrainingDesk
from napari_segtool.ui._train_order import Order
from napari_segtool.ui._train_tool import Tool

_NOT_A_SETTING = "steps"


class Why(Tool):
    """A table of choices with their reasons, and what the training will cost."""

    title = "What it will do and why"
    action = "Look again"
    action_help = "Look at the images, the labels and the free memory again."
    size_px = (920, 560)

    def build(self) -> None:
        """The cost in one line, and the table."""
        self.proposal: Proposal | None = None
        self.summary = wrapping(QLabel())
        self.summary.setTextFormat(Qt.TextFormat.RichText)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Setting", "Choice", "Why"])
        self.table.setAccessibleName("Choices")
        self.table.setToolTip("What was left on auto, and what is chosen for these images. Choose lines to take over those alone.")
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setWordWrap(True)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setTabKeyNavigation(False)
        self.table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        header.sectionResized.connect(self._fit_rows)
        self.take_button = self.add_button("Take over", "Put these values into the settings, where you can change them.", self._take)
        self.take_button.setEnabled(False)
        self.table.itemSelectionChanged.connect(self._selected)
        self.page.addWidget(self.summary)
        self.page.addWidget(self.table, 1)

    def look(self, order: Order) -> None:
        """Ask for a proposal; a step is not timed while a training takes the machine."""
        busy, version = self.session.shared(TrainingDesk).busy, self.session.shared(PlanAhead).version
        self.run(partial(self.adviser.ask_steps, "proposal", order, timing=not busy), partial(self._arrived, order, version), "Looking at the images")

    def settings_changed(self) -> None:
        """Say that this was worked out for other settings."""
        if self.job is None and self.proposal is not None:
            self.say("The settings have changed since: look again to see what follows from them.")

    def _arrived(self, order: Order, version: int, proposal: Proposal) -> None:
        self.proposal = proposal
        self.session.shared(PlanAhead).keep(version, proposal)
        self.summary.setText(summary_of(proposal, order))
        labels = {info.name: info.label for info in describe(LEARNERS.get(order.learner).params)}
        self.table.setRowCount(len(proposal.reasons))
        for row, reason in enumerate(proposal.reasons):
            for column, text in enumerate((labels.get(reason.setting, reason.setting.capitalize()), _value_text(reason), reason.why)):
                item = QTableWidgetItem(text)
                item.setToolTip(reason.why)
                item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
                self.table.setItem(row, column, item)
        self._fit_rows()
        self._selected()
        if self._chosen():
            self.done("This is what happens if you change nothing. Taken over, the values stay as they are, also for other images.")
        else:
            self.done("Nothing was left on auto: it will do what is set.")

    def _fit_rows(self, *_: Any) -> None:
        self.table.resizeRowsToContents()

    def _chosen(self) -> tuple[Reason, ...]:
        reasons = self.proposal.reasons if self.proposal is not None else ()
        rows = {index.row() for index in self.table.selectionModel().selectedRows()}
        return tuple(reason for row, reason in enumerate(reasons) if reason.setting != _NOT_A_SETTING and (not rows or row in rows))

    def _selected(self) -> None:
        count, some = len(self._chosen()), bool(self.table.selectionModel().selectedRows())
        self.take_button.setText(f"Take over {count} chosen" if some else "Take over all")
        self.take_button.setEnabled(count > 0)

    def _take(self) -> None:
        chosen = self._chosen()
        self.take_over({reason.setting: reason.value for reason in chosen})
        self.say(f"{len(chosen)} setting{'s' if len(chosen) != 1 else ''} taken over, under Advanced in the Train panel.", kind="good")


def summary_of(proposal: Proposal, order: Order) -> str:
    """Say what a training would cost: memory, time and steps, in rich text."""
    device = proposal.device.upper().replace("CUDA", "GPU").replace(":", " ") or "this machine"
    parts = [f"<b>{count_text(proposal.parameters)}</b> parameters"]
    if proposal.memory_mb:
        free = f" of {memory_text(proposal.free_mb)} free" if proposal.free_mb else ""
        parts.append(f"about <b>{memory_text(proposal.memory_mb)}</b>{free} on the {device}")
    if proposal.seconds_per_step:
        spent = proposal.seconds_per_step * proposal.steps
        parts.append(f"<b>{proposal.seconds_per_step:.2g} s</b> a step")
        parts.append(f"<b>{count_text(proposal.steps)} steps</b> in {duration_text(spent)}")
    else:
        parts.append(f"{order.minutes:g} minutes" if order.minutes else f"{order.steps} steps")
    return " · ".join(parts)


def _value_text(reason: Reason) -> str:
    value = reason.value
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
