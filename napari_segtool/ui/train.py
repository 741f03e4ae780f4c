"""The Train panel: learn from paint or masks, watch it learn, stop, resume, compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress
from napari_segtool.ui._align import align_labels
from napari_segtool.ui._bridge import add_image_overlay, fits, notes_of
from napari_segtool.ui._facts import duration_text
from napari_segtool.ui._form import ParamsForm
from napari_segtool.ui._frame import order_focus
from napari_segtool.ui._message import DetailsDialog
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._plane_layer import kept_selection
from napari_segtool.ui._train_adviser import Adviser
from napari_segtool.ui._train_ahead import PlanAhead
from napari_segtool.ui._train_before import BeforeTraining
from napari_segtool.ui._train_board import TrainBoard
from napari_segtool.ui._train_desk import LOOK_AFTER_MS, TrainingDesk
from napari_segtool.ui._train_history import History
from napari_segtool.ui._train_marks import guess_labels_are, mask_text
from napari_segtool.ui._train_order import Missing, Order, order_of
from napari_segtool.ui._train_settings import TrainSettings
from napari_segtool.ui._train_standing import choices_of, remarks_of, scores_of
from napari_segtool.ui._train_tool import ToolWindows
from napari_segtool.ui._train_watch import Ending, Word
from napari_segtool.ui._train_weight_map import WeightMap, weight_map_steps


class TrainPanel(Panel):
    """Train a network on the open layers, in a process of its own, and watch it."""

    name = "train"
    title = "Train"
    action = "Train"
    action_help = "Copy the images into a run folder and learn from them in the background. The window stays usable."
    labels_title = "Labels"

    def build(self) -> None:
        """Settings above the button; curves and runs below the message."""
        self.desk = self.session.shared(TrainingDesk)
        assert self.labels_combo is not None
        self.labels_combo.setToolTip("What it learns from: paint strokes, or a mask of the whole image.")
        self.settings = TrainSettings(self.session)
        self.meaning, self.budget, self.seed = self.settings.meaning, self.settings.budget, self.settings.seed
        self.adviser = self.session.shared(Adviser)
        self.ahead = self.session.shared(PlanAhead)
        self.before = BeforeTraining(self.session, self.order_now, self.settings.take_over, self._say_missing, self._weigh, self.guarded)
        self.settings.layout().addWidget(self.before)
        self.body.addWidget(self.settings)
        self.board = TrainBoard(self.session)
        self.curves, self.runs = self.board.curves, self.board.runs
        self._make_stop_row()
        column = self.layout()
        column.insertWidget(column.indexOf(self.button) + 1, self._stop_row)
        column.insertWidget(column.indexOf(self.message) + 1, self.board)
        kept = self.recall()
        self.settings.restore(kept)
        self.settings.offer(self.desk.cards)
        self.before.unfold(bool(kept.get("before", True)))
        self.board.restore(kept)
        align_labels(self)
        self._links: tuple[tuple[Any, Callable[..., object]], ...] = (
            (self.desk.begun, self._begun),
            (self.desk.advanced, self._advanced),
            (self.desk.ended, self._ended),
            (self.desk.failed, self._failed),
            (self.desk.runs_changed, self._list_runs),
            (self.desk.deleted, self._deleted),
            (self.desk.not_deleted, self._not_deleted),
            (self.session.paint.changed, self._marks_changed),
            (self.ahead.changed, self._show_plan),
        )
        for link in self._links:
            link[0].connect(link[1])
        self.settings.meaning_chosen.connect(self._meaning_chosen)
        self.settings.rebuilt.connect(self._rebuilt)
        self.settings.start.refused.connect(self.missing)
        self.settings.advanced.button.toggled.connect(self._share_room)
        for edited in (self.settings.edited, self.settings.others.changed, self.settings.meaning_chosen):
            edited.connect(self.ahead.forget)
        self.settings.edited.connect(self.session.shared(ToolWindows).settings_changed)
        self.runs.resume_wanted.connect(self._resume)
        self.runs.renamed.connect(self._rename)
        self.runs.delete_wanted.connect(self._ask_delete)
        self.runs.predict_wanted.connect(self._predict)
        self.state_changed.connect(self._follow_state)

    @property
    def form(self) -> ParamsForm | None:
        """The learner's settings."""
        return self.settings.form

    def _make_stop_row(self) -> None:
        self.stop_button = QPushButton("Stop and keep")
        self.stop_button.setToolTip("End the training now and keep its best result so far.")
        self.stop_button.clicked.connect(self._stop_and_keep)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("End the training now. Its run stays in the list and can be resumed.")
        self.cancel_button.clicked.connect(self._cancel)
        self._stop_row = QWidget()
        buttons = QHBoxLayout(self._stop_row)
        buttons.setContentsMargins(0, 0, 0, 0)
        for button in (self.stop_button, self.cancel_button):
            button.setMinimumHeight(30)
            buttons.addWidget(button)
        self._stop_row.hide()

    # hooks of the frame

    def image_changed(self, layer: Image | None) -> None:
        """List the other images."""
        self.ahead.forget()
        self.settings.fill(layer)
        self._show_board()

    def labels_changed(self, layer: LabelsLayer | None) -> None:
        """Guess what the labels are."""
        self._marks_changed()

    def reset_choices(self, event: Any = None) -> None:
        """Fill the choosers again, those of other images too."""
        super().reset_choices(event)
        if not self._released:
            self.settings.fill(self.image)

    def became_visible(self) -> None:
        """Look for a training that was left running, and for runs made elsewhere."""
        QTimer.singleShot(LOOK_AFTER_MS, self._look_around)
        self._marks_changed()
        self.board.show_runs()
        self._show_board()
        self.ahead.watch(self.order_now)
        if self.desk.busy and self.state != "working":  # it began while the panel was closed
            self._begun()
            self._advanced()

    def _look_around(self) -> None:
        if not self._released:
            self.settings.device.look()
            self.desk.adopt()

    def became_hidden(self) -> None:
        """Remember the settings, and work nothing out ahead."""
        self._remember_settings()
        self.ahead.leave()

    def _remember_settings(self) -> None:
        self.remember(**self.settings.record(), **self.board.record(), before=self.before.unfolded)

    def released(self) -> None:
        """Let go of the desk, which goes on."""
        for signal, hear in self._links:
            signal.disconnect(hear)
        self.board.release()

    def theme_changed(self, dark: bool, text_colour: str) -> None:
        """Draw the curves in the colours of the theme."""
        self.curves.set_theme(self.viewer.theme)

    def facts_of_labels(self, layer: LabelsLayer | None) -> str:
        """Say how much is labelled."""
        if layer is None:
            return "None yet: paint a few strokes first."
        if self.image is not None and not fits(layer, self.image):
            return "Does not fit the image: another size."
        return self.session.paint_text() if self.settings.labels_are == "paint" else mask_text(layer, self.session.paint.counts)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Leave the settings room on a low screen."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self, _: bool = False) -> None:
        self.board.set_height(self.height(), self.settings.advanced.unfolded)

    # settings

    def _marks_changed(self) -> None:
        if self.message.kind == "warning" and self.state == "ready":
            self.message.clear()  # what was missing may be there now
        if self.labels is not None:
            self.settings.show_meaning(guess_labels_are(self.labels, self.session.paint.counts))
        self._show_label_facts()

    def _meaning_chosen(self, labels_are: str) -> None:
        if self.labels is not None:
            notes_of(self.labels)["labels_are"] = labels_are
        self._show_label_facts()

    def _show_plan(self) -> None:
        self.settings.show_proposal(self.ahead.proposal)

    def _rebuilt(self) -> None:
        order_focus(self)

    # training

    def order_now(self) -> Order | Missing:
        """Return what would be trained now, or what is missing for it."""
        return order_of(self.session, self.settings)

    def _say_missing(self, what: Missing) -> None:
        self.missing(what.text, self.links_to("annotate") if what.paint else None)

    def _weigh(self) -> None:
        """Show the weight map as a layer."""
        order = self.order_now()
        if isinstance(order, Missing):
            return self._say_missing(order)
        if self.state == "working":
            return self.missing("A training is running: look at the weights when it has ended.")
        self.run(partial(weight_map_steps, self.adviser, order), partial(self._weighed, order), "Weighing pixels")
        return None

    def _weighed(self, order: Order, found: WeightMap) -> None:
        image = order.layers[0]
        if image not in self.viewer.layers:
            self.rest()
            return self.missing("The image was closed meanwhile.")
        name = f"{image.name} · weights"
        with kept_selection(self.viewer):
            add_image_overlay(self.viewer, found.data, found.axes, image, name, contrast_limits=(0.0, found.made.highest), opacity=0.7)
        use = {"Use this border weight": partial(self.settings.take_over, {"border_weight": found.made.border_weight})} if found.made.preview else {}
        return self.done(f"{found.text}\nLayer “{name}”.", use)

    def start(self) -> None:
        """Make a run of what is chosen and train it."""
        order = self.order_now()
        if isinstance(order, Missing):
            return self._say_missing(order)
        self._remember_settings()
        self.desk.order(order)
        return None

    def stop(self) -> None:
        """Stop a sample being made, or keep the training's best."""
        if self.job is not None:
            super().stop()
        else:
            self._stop_and_keep()

    def _stop_and_keep(self, _: bool = False) -> None:
        self._ask("stop", "Stopping: its best result is scored once more and kept…")

    def _cancel(self, _: bool = False) -> None:
        self._ask("cancel", "Cancelling…")

    def _ask(self, word: Word, text: str) -> None:
        self.desk.ask(word)
        self._stop_row.setEnabled(False)
        self.bar.setRange(0, 0)
        self.bar.setFormat("stopping")
        self.say(text)

    def _resume(self, folder: Path) -> None:
        if self.desk.busy:
            return self.missing("Another training is running. Stop it first.")
        self.desk.resume(folder)
        return None

    # what the desk says

    def _begun(self) -> None:
        self.session.start(self.adviser.rest_steps, "freeing memory").start()  # it is the training's now
        found = self.desk.folder is not None and not self.desk.making
        self.working("looking at the run…" if found else "opening the run…" if self.desk.folder is not None else "copying the images…")
        self._stop_row.setEnabled(True)
        self._show_board()
        if found:
            self.say("A training that was left running goes on.")

    def _advanced(self) -> None:
        history = self.desk.history
        if self.state == "working" and self.desk.asked is None:
            self._show_state(history)

    def _show_state(self, history: History) -> None:
        if history.phase == "new":
            self.bar.setRange(0, 0)
            self.bar.setFormat("loading the network library…")
            return
        if history.step == 0 or not history.steps:
            self.bar.setRange(0, 0)
            self.bar.setFormat("preparing the first step…")
        else:
            self.show_progress(Progress(history.fraction, 1.0, f"step {history.step}"), history.seconds_left)
        text = f"Learning: {history.plan}." if history.plan else ""
        if not math.isnan(history.best_dice):
            text = f"{text} {scores_of(history)}"
        why = {"Why": self._show_choices} if choices_of(history) else {}
        self.say("\n".join([*remarks_of(history)[-2:], text]).strip(), why)

    def _show_choices(self) -> None:
        DetailsDialog("\n\n".join(choices_of(self.desk.history)), self).show()

    def _ended(self, ending: Ending) -> None:
        history, folder = self.desk.history, self.desk.folder
        if folder is None:
            return self.rest()
        resume = {} if ending.refused else {"Resume": partial(self._resume, folder)}
        spent = f"{history.step} steps, {duration_text(history.seconds)}"
        if ending.text:
            return self.fail(SegtoolError(ending.text, hint=ending.hint), resume, details=ending.details)
        if history.phase in ("done", "stopped"):
            head = "Learned" if history.phase == "done" else "Stopped and kept"
            more = {} if history.phase == "done" else resume
            remarks = [text for text in remarks_of(history) if not text.startswith("Going on from step")]
            notes = f"\n{remarks[-1]}" if remarks else ""
            return self.done(f"{head} ({spent}). {scores_of(history)}{notes}", {**self.links_to("predict", "explain"), **more})
        if history.phase == "failed":
            return self.fail(SegtoolError(history.text, hint=history.hint), resume)
        self.rest()
        learned = f"The run stays in the list, at step {history.step}." if history.step else "It had not learned anything yet; the run stays in the list."
        return self.say(f"Cancelled. {learned}", resume)

    def _failed(self, error: BaseException | None) -> None:
        if error is None:
            self.rest()
            return self.say("Cancelled; nothing was kept.")
        return self.fail(error, self.links_to("annotate"))

    # runs

    def _rename(self, folder: Path, title: str) -> None:
        self.guarded(partial(self.desk.rename, folder, title))

    def _ask_delete(self, folder: Path) -> None:
        actions: dict[str, Callable[[], object]] = {"Delete it": partial(self.desk.delete, folder), "Keep it": self.message.clear}
        self.missing(f"Delete the run “{self.board.title_of(folder)}” with its model? This cannot be undone.", actions)

    def _deleted(self, folder: Path) -> None:
        self.say("The run was deleted.")
        if folder == self.desk.folder:
            self.curves.show_runs([])

    def _not_deleted(self, error: BaseException) -> None:
        self.missing(str(error))

    def _predict(self, folder: Path) -> None:
        from napari_segtool.ui._predict_models import ModelDesk  # here, so that the panel opens quickly

        self.session.shared(ModelDesk).choose(folder)
        self.go_to("predict")()

    def _list_runs(self) -> None:
        self.settings.offer(self.desk.cards)
        self._show_board()

    def _show_board(self) -> None:
        self.board.setVisible(self.image is not None or self.desk.busy or bool(self.desk.cards))

    def _follow_state(self, state: str) -> None:
        training = state == "working" and self.desk.busy
        self.button.setVisible(not training and self.image is not None)
        self._stop_row.setVisible(training)
