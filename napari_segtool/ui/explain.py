"""The Explain panel: which pixels made the model decide, whether the map can be trusted, what goes on inside, and where to paint next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress
from napari_segtool.core.trust import TrustReport
from napari_segtool.ui._align import align_labels
from napari_segtool.ui._bridge import step_to_plane
from napari_segtool.ui._explain_asked import Explained, Wish, explained_steps
from napari_segtool.ui._explain_compare import Query, query_of, show_explainers
from napari_segtool.ui._explain_host import Ready
from napari_segtool.ui._explain_inside import InsideSection
from napari_segtool.ui._explain_layers import LayerNames
from napari_segtool.ui._explain_looks import OPACITY, THRESHOLD, LookRows
from napari_segtool.ui._explain_overlay import Overlay
from napari_segtool.ui._explain_pick import PixelPicker
from napari_segtool.ui._explain_places import PlacesSection
from napari_segtool.ui._explain_settings import FIRST, ExplainerSettings
from napari_segtool.ui._explain_target import TargetChooser
from napari_segtool.ui._explain_trust import TrustSection
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._form import form_layout
from napari_segtool.ui._frame import line, order_focus
from napari_segtool.ui._jobs import LatestJob, MakeSteps, TimeLeft
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._predict_models import ModelChooser, card_text, class_names, misfit
from napari_segtool.ui._predict_worker import NetworkProcess
from napari_segtool.ui._train_desk import LOOK_AFTER_MS

REVEAL_MS = 60
"""What has just appeared has its size after so long."""


class ExplainPanel(Panel):
    """Ask a model why."""

    name = "explain"
    title = "Explain"
    action = "Explain"
    action_help = "Show which pixels speak for the class, in an overlay on the slice."

    def build(self) -> None:
        """Model, target, explainer; how the overlay looks and whether to trust it; folded: inside the network, and places to fix."""
        self.process = self.session.shared(NetworkProcess)
        self.models = ModelChooser(self.session)
        self.models.box.setMinimumContentsLength(6)
        self.models.desk.opened.connect(self._model_opened)
        self.names = LayerNames(self.process, self)
        self.picker = PixelPicker(self.viewer, self)
        self.picker.picked.connect(self._picked)
        self._latest = LatestJob("explain", self)
        self._latest.returned.connect(self._answered)
        self._latest.failed.connect(self._question_failed)
        self._latest.progressed.connect(self._question_progressed)
        self._clock = TimeLeft()
        self._on_answer: Callable[[Any], object] | None = None
        self.pixel: tuple[int, ...] | None = None
        self.target = TargetChooser(self.viewer)
        self.target.changed.connect(self._target_chosen)
        self.target.asked_anew.connect(self._again)
        self.target.drawn.connect(self._drawn)
        self.target.help_wanted.connect(self._go)
        self.settings = ExplainerSettings(self.names)
        self.settings.chosen.connect(self._explainer_chosen)
        self.settings.changed.connect(self._again)
        self.settings.compare_wanted.connect(self._compare)
        self.looks = LookRows()
        self.overlay = Overlay(self.viewer, self.looks)
        self.trust = TrustSection()
        self.trust.wanted.connect(self._trust_wanted)
        self.inside = InsideSection(self)
        self.places = PlacesSection(self)
        self.at_pixel, self.whole = self.target.buttons["pixel"], self.target.buttons["class"]
        self.explainer, self.class_box = self.settings.explainer, self.target.class_box
        self.opacity, self.threshold = self.looks.opacity, self.looks.threshold
        rows, label = form_layout(), QLabel("Model")
        label.setBuddy(self.models)
        label.setToolTip(self.models.box.toolTip())
        rows.addRow(label, self.models)
        self._result = QWidget()
        result = QVBoxLayout(self._result)
        result.setContentsMargins(0, 0, 0, 0)
        result.setSpacing(6)
        result.addWidget(self.looks)
        result.addWidget(self.trust)
        self.body.addLayout(rows)
        for part in (self.target, self.settings, line(), self._result, line(), self.inside, self.places):
            self.body.addWidget(part)
        for fold in (self.inside, self.places, self.trust.fold):
            fold.button.toggled.connect(partial(self._unfolded, fold))
        self._recall()
        self._model_opened()
        align_labels(self)

    # memory

    def _recall(self) -> None:
        kept = self.recall()
        self.settings.restore(str(kept.get("explainer", FIRST)), kept.get("params", {}))
        self.opacity.setValue(int(kept.get("opacity", OPACITY)))
        self.threshold.setValue(int(kept.get("threshold", THRESHOLD)))
        self.target.choose(str(kept.get("target", "pixel")))

    def _keep(self) -> None:
        self.remember(
            explainer=self.settings.entry.name,
            params=self.settings.values(),
            opacity=self.opacity.value(),
            threshold=self.threshold.value(),
            target=self.target.kind,
        )

    # hooks of the frame

    def image_changed(self, layer: Image | None) -> None:
        """Ask about the new image from now on."""
        self.pixel = None
        self.picker.clear()
        self.target.follow(layer)
        self.overlay.forget()
        self.trust.forget()
        self.inside.clear()
        self.places.forget()
        self._aim()

    def became_visible(self) -> None:
        """Look for models; listen for clicks; wake the process that answers."""
        QTimer.singleShot(LOOK_AFTER_MS, self._look_around)
        align_labels(self)  # the theme's font is known only now
        self._aim()

    def _look_around(self) -> None:
        if not self._released:
            self.models.desk.look()
            if self.in_view:
                self.names.follow(self.models.desk.bundle)

    def became_hidden(self) -> None:
        """Stop listening for clicks, take lines away, and remember the settings."""
        self.picker.switch(None)
        self.picker.clear()
        self.overlay.clear()
        self.inside.clear()
        self.places.clear()
        self._keep()

    def reset_choices(self, event: Any = None) -> None:
        """Fill the choosers again."""
        super().reset_choices(event)
        if not self._released and hasattr(self, "target"):
            self.target.fill()

    def theme_changed(self, dark: bool, text_colour: str) -> None:
        """Links that can be read."""
        self.target.set_theme(dark)

    def released(self) -> None:
        """Let go of the models."""
        self._latest.cancel()
        self.names.cancel()
        self.inside.release()
        self.target.release()
        self.models.desk.opened.disconnect(self._model_opened)
        self.models.release()

    def _aim(self) -> None:
        """Listen for clicks where one says what is meant."""
        listening = self.in_view and self.target.clicks and self.models.desk.bundle is not None
        self.picker.switch(self.image if listening else None)
        if not self.target.clicks:
            self.picker.clear()
        if listening and self.image is not None and self.pixel is None and self.state == "ready":
            self.say("Click a pixel in the picture." if self.target.kind == "pixel" else "Click an object in the picture.")

    def _model_opened(self) -> None:
        bundle = self.models.desk.bundle
        self.target.set_classes(class_names(bundle.card) if bundle is not None else {})
        self.models.card.setVisible(bundle is None)  # its three lines are wanted for choosing, not for asking
        self.models.box.setToolTip(card_text(bundle.card) if bundle is not None else "The model to explain.")
        if self.in_view:
            self.names.follow(bundle)
        if self.message.kind == "warning" and self.state == "ready":
            self.message.clear()
        self._aim()

    # what is chosen

    def _target_chosen(self) -> None:
        if self.state != "working":
            self.rest()
            self.message.clear()
        if self.target.clicks:
            self.pixel = None
        self.picker.clear()
        self.inside.clear()
        self._aim()
        order_focus(self)

    def _explainer_chosen(self) -> None:
        align_labels(self)
        order_focus(self)
        self._again()

    def _again(self) -> None:
        """Ask again after a setting was changed, if there is an answer that it changes."""
        if self.overlay.shown is not None and self.overlay.layer is not None:
            self.guarded(self.start)

    def _picked(self, pixel: tuple[int, ...]) -> None:
        self.pixel = pixel
        self.picker.show(pixel)
        self.guarded(self.start)

    def _drawn(self) -> None:
        if self.in_view:
            self.guarded(self.start)

    def _go(self, panel: str) -> None:
        self.go_to(panel)()

    # asking

    def ready(self) -> Ready | None:
        """Return model and image, or say what is missing."""
        desk, image = self.models.desk, self.image
        offers = {**self.links_to("train"), "Open a model…": self.models.ask}
        if desk.chosen is None:
            self.missing("There is no model to explain yet. Train one, or open one from a folder.", offers)
        elif desk.error is not None:
            self.fail(desk.error, offers)
        elif desk.bundle is None:
            self.missing("The model is still being opened. Try again in a moment.")
        elif image is None:
            self.missing("Open an image first.")
        else:
            stack = self.session.stack(image)
            unfit = misfit(desk.bundle.card, stack)
            if not unfit.endswith("cannot be used on it."):
                return Ready(desk.bundle, image, stack)
            self.missing(unfit, offers)
        return None

    def wish(self, ready: Ready) -> Wish | None:
        """Return what is pointed at, or say what is missing."""
        volumes = int(ready.bundle.card.get("spatial", 2)) == 3
        wish = self.target.wish(ready.image, ready.stack, self.plane, self.pixel, volumes=volumes)
        if isinstance(wish, str):
            self.missing(wish, self.links_to("predict") if self.target.kind == "object" and self.target.objects.layer is None else None)
            return None
        return wish

    def ask(self, make_steps: MakeSteps, on_result: Callable[[Any], object], what: str) -> None:
        """Ask instead of whatever is asked now."""
        self._on_answer, self._clock = on_result, TimeLeft()
        self.working(f"{what}…" if self.process.running else f"{what}… (the first time takes a few seconds)")
        self._latest.submit(make_steps)

    def start(self) -> None:
        """Ask the model about what is pointed at."""
        ready = self.ready()
        wish = None if ready is None else self.wish(ready)
        if ready is None or wish is None:
            return
        self._keep()
        self.inside.clear()
        params = self.settings.params().model_dump(mode="json")
        entry = self.settings.entry
        steps = partial(explained_steps, self.process.client, ready.bundle, ready.stack, wish, entry.name, params, device=self.process.device)
        self.ask(steps, partial(self._explained, ready.image), entry.title)

    def stop(self) -> None:
        """Forget the question."""
        if self.job is not None:
            super().stop()
            return
        self._latest.cancel()
        self.rest()
        self.say("Stopped; nothing was changed.")

    def reveal(self, part: QWidget) -> None:
        """Scroll to a part of the panel that has just appeared."""
        QTimer.singleShot(REVEAL_MS, partial(self._scroll_to, part))

    def _scroll_to(self, part: QWidget) -> None:
        if not self._released and part.isVisible():
            self._scroll.ensureWidgetVisible(part, 0, 4)

    def _refit(self) -> None:
        """Take the height that is needed now: Qt remembers that of text which is hidden since."""
        for part in (self.trust, self._result):
            part.layout().invalidate()
            part.updateGeometry()

    def _unfolded(self, fold: Fold, on: bool) -> None:
        if on:
            self.reveal(fold.content)

    def _question_progressed(self, progress: Progress) -> None:
        if self._state == "working":
            self._clock.note(progress)
            self.show_progress(progress, self._clock.seconds_left)

    def _answered(self, answer: Any) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is None or self._released:
            return
        self.rest()
        self.guarded(partial(on_answer, answer))

    def _question_failed(self, error: BaseException) -> None:
        notes = "\n".join(getattr(error, "__notes__", ()))
        self.fail(error, {"Try again": self.start}, details=notes if isinstance(error, SegtoolError) else "")

    # the map

    def _explained(self, image: Image, explained: Explained) -> None:
        if image not in self.viewer.layers:
            return self.say("The image was removed meanwhile; its explanation was dropped.")
        self.overlay.show(image, explained)
        self.picker.lift()
        self.trust.forget()
        self._refit()
        if image is self.image and explained.plane != self.plane:
            step_to_plane(self.viewer, image, explained.plane)
        return self.done(self.overlay.text(), {"Trust it?": self._trust_wanted, "Export": self._export})

    def _export(self) -> None:
        from napari_segtool.ui.workspace import show_panel

        panel = show_panel(self.viewer, "export")
        if self.overlay.layer is not None:
            panel.offer(self.overlay.layer)

    # several explainers

    def _compare(self) -> None:
        show_explainers(self.session, self._query, self._take)

    def _query(self) -> Query | str:
        ready = self.ready()
        wish = None if ready is None else self.wish(ready)
        return self.message.plain if ready is None or wish is None else query_of(self, ready, wish)

    def _take(self, image: Image, explained: Explained) -> None:
        """Show a map of the comparison as if it had been asked for here."""
        self._latest.cancel()
        self.settings.choose(explained.explainer, explained.params)
        align_labels(self)
        order_focus(self)
        self.rest()
        self.guarded(partial(self._explained, image, explained))

    # can it be trusted?

    def _trust_wanted(self) -> None:
        shown = self.overlay.shown
        if shown is None or self.overlay.layer is None:
            return self.missing("Explain something first: the map that is shown is what is checked.")
        asked = partial(self.process.client.inside_steps, "trust", shown.bundle, shown.stack, device=self.process.device)
        settings = {"explainer": shown.explainer, "target": shown.target, **shown.params}
        return self.ask(partial(asked, **settings), partial(self._judged, shown), "Checking the map")

    def _judged(self, shown: Explained, report: TrustReport) -> None:
        if shown is self.overlay.shown:
            self.trust.show_report(report)
            self.reveal(self.trust)
            self.overlay.judged(report)
            self._refit()
            self.done("Checked: the verdict stands under the sliders.", {"Export": self._export})
