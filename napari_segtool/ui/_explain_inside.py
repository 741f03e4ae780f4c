"""Inside the network: what its layers make of the slice, its first filters, the patches a feature likes best, how far a pixel sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QListWidget, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_segtool.core.inside import Layer as Block
from napari_segtool.core.inside import Patch, ReceptiveField
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.ui._bridge import is_source_image, step_to_plane
from napari_segtool.ui._explain_drawing import LayerWindow
from napari_segtool.ui._explain_gallery import FILTER_PX, PATCH_PX, Gallery, Picture, filter_pictures, patch_pictures
from napari_segtool.ui._explain_host import Host, Ready
from napari_segtool.ui._explain_layers import layer_text
from napari_segtool.ui._explain_show import go_to_place, limits_of_maps, show_activations, show_boxes, show_field
from napari_segtool.ui._facts import spacing_text
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._message import plain_words
from napari_segtool.ui._plane_layer import remove_layer
from napari_segtool.ui._predict_models import misfit

COUNT = 12
_ROWS = 5


class InsideSection(Fold):
    """Layers to click, and three questions about the network itself.

    The user wants to see what the network has learned. Empty: a line says that it is being looked into, or why it cannot be. Done: a layer of
    feature maps, a small gallery, or a line in the picture.
    """

    layer_chosen = Signal(str)
    """Name of the layer that is chosen in the list now; empty for none."""

    def __init__(self, host: Host, parent: QWidget | None = None) -> None:
        super().__init__("Inside the network", parent)
        self._host = host
        self._found: tuple[Patch, ...] = ()
        self._images: list[Image] = []
        self._marks: list[Layer] = []
        self._window: LayerWindow | None = None
        self.button.setToolTip("See what single layers and features of the network answer to.")
        self.hint = wrapping(QLabel())
        self.list = QListWidget()
        self.list.setAccessibleName("Layers of the network")
        self.list.setToolTip("The layers in the order they work. Click one to see all its feature maps of this slice, as a stack of their own.")
        self.list.setFixedHeight(_ROWS * (self.list.fontMetrics().lineSpacing() + 4) + 6)
        self.list.itemClicked.connect(self._layer_clicked)
        self.list.itemActivated.connect(self._layer_clicked)
        self.list.currentRowChanged.connect(self._row_changed)
        self.drawing_button = self._button("Drawing…", "Draw the network in a window of its own, and click a layer there.", self._draw)
        self.feature = QSpinBox()
        self.feature.setToolTip("Number of one feature of the layer chosen above. With a layer's maps open, it follows the slider under the picture.")
        self.feature.setAccessibleName("Feature")
        guard_wheel(self.feature)
        self.patches_button = self._button(
            "Strongest patches", "Search all open images for the places that this feature answers to most strongly.", self._patches
        )
        self.filters_button = self._button("First filters", "Show the filters of the network's first convolution as small pictures.", self._filters)
        self.field_button = self._button(
            "How far it sees", "Draw around the pixel clicked what its answer depends on (orange), and what the network could see at all (blue).", self._field
        )
        self.gallery = Gallery()
        self.gallery.wanted.connect(self._picture_clicked)
        column = QVBoxLayout()
        column.setSpacing(4)
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.hint, 1)
        top.addWidget(self.drawing_button, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(top)
        column.addWidget(self.list)
        label = QLabel("Feature")
        label.setBuddy(self.feature)
        label.setToolTip(self.feature.toolTip())
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(label)
        row.addWidget(self.feature)
        row.addWidget(self.patches_button, 1)
        column.addLayout(row)
        pair = QGridLayout()
        pair.setHorizontalSpacing(4)
        pair.addWidget(self.filters_button, 0, 0)
        pair.addWidget(self.field_button, 0, 1)
        column.addLayout(pair)
        column.addWidget(self.gallery)
        self.setContentLayout(column)
        host.names.changed.connect(self.show_names)
        host.viewer.dims.events.current_step.connect(self._stepped)
        self._shown: Image | None = None
        self.show_names()

    def release(self) -> None:
        """Let go of the viewer."""
        self._host.viewer.dims.events.current_step.disconnect(self._stepped)
        window, self._window = self._window, None
        if window is not None:
            window.release()
        self.clear()

    def clear(self) -> None:
        """Take lines and boxes away; feature maps stay."""
        for layer in self._marks:
            remove_layer(self._host.viewer, layer)
        self._marks = []

    def show_names(self) -> None:
        """List the layers, or say why there are none."""
        names, before = self._host.names, self._chosen()
        self.list.clear()
        for layer in names.layers:
            self.list.addItem(layer_text(layer))
        if names.error is not None:
            self.hint.setText(f"▲ {plain_words(names.error)}")
        elif names.layers:
            self.hint.setText("Click a layer to see what it makes of this slice.")
        else:
            self.hint.setText("Looking into the network…" if names.busy else "Choose a model that is a network.")
        if names.layers:
            known = [layer.name for layer in names.layers]
            self.list.setCurrentRow(known.index(before.name) if before is not None and before.name in known else 0)

    # asking

    def _button(self, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(partial(self._pressed, action))
        return button

    def _pressed(self, action: Callable[[], object], _: bool = False) -> None:
        self._host.guarded(action)

    def _chosen(self) -> Block | None:
        layers, row = self._host.names.layers, self.list.currentRow()
        return layers[row] if 0 <= row < len(layers) else None

    def _row_changed(self, _: int) -> None:
        block = self._chosen()
        self.feature.setRange(0, max(0, block.features - 1) if block is not None else 0)
        self.feature.setSuffix(f" of {block.features - 1}" if block is not None else "")
        self.layer_chosen.emit(block.name if block is not None else "")

    def _ask(self, verb: str, on_result: Any, what: str, ready: Ready, *images: Stack, **arguments: Any) -> None:
        process = self._host.process
        self._host.ask(partial(process.client.inside_steps, verb, ready.bundle, *images, device=process.device, **arguments), on_result, what)

    def _draw(self) -> None:
        if self._window is None:
            self._window = LayerWindow(self._host.session, self._host.names, self.choose)
            self.layer_chosen.connect(self._window.picture.view.mark)
        block = self._chosen()
        self._window.picture.view.mark(block.name if block is not None else "")
        self._window.bring()

    def choose(self, name: str) -> None:
        """Choose a layer of the list by its name, and show its feature maps."""
        self.list.setCurrentRow([layer.name for layer in self._host.names.layers].index(name))
        self._host.go_to("explain")()
        self._host.guarded(self._activations)

    def _layer_clicked(self, _: Any) -> None:
        self._host.guarded(self._activations)

    def _activations(self) -> None:
        block, ready = self._chosen(), self._host.ready()
        if block is None or ready is None:
            return
        process = self._host.process
        asked = partial(process.client.inside_steps, "activations", ready.bundle, ready.stack, device=process.device, layer=block.name, plane=self._host.plane)
        self._host.ask(partial(_limited_steps, asked), partial(self._show_activations, ready), f"Feature maps of {block.name}")

    def _show_activations(self, ready: Ready, answer: tuple[Stack, tuple[float, float]]) -> None:
        seen, limits = answer
        self._shown = show_activations(self._host.viewer, ready.image, seen, limits, f"{ready.image.name} · {seen.memo['layer']}")
        self._stepped()
        self._host.done(f"{len(seen.data)} feature maps of {seen.memo['layer']}: the slider “feature” under the picture walks through them.")

    def _stepped(self, event: Any = None) -> None:
        """Follow the slider through the feature maps."""
        layer, viewer, block = self._shown, self._host.viewer, self._chosen()
        if layer is None or block is None or layer not in viewer.layers or not layer.name.endswith(f" · {block.name}"):
            return
        axis = viewer.dims.ndim - layer.ndim
        if axis not in viewer.dims.displayed:
            self.feature.setValue(round(float(viewer.dims.point[axis])))

    def _filters(self) -> None:
        ready = self._host.ready()
        if ready is not None:
            process = self._host.process
            steps = partial(_drawn_filters_steps, partial(process.client.inside_steps, "filters", ready.bundle, device=process.device))
            self._host.ask(steps, self._show_filters, "Filters")

    def _show_filters(self, answer: tuple[Stack, tuple[Picture, ...]]) -> None:
        filters, pictures = answer
        self._found = ()
        self.gallery.show_pictures(pictures, FILTER_PX, f"Filters of {filters.memo['layer']}")
        self._host.reveal(self.gallery)
        self._host.done(f"{len(pictures)} filters of {filters.memo['layer']}: red adds, blue takes away.")

    def _patches(self) -> None:
        block, ready = self._chosen(), self._host.ready()
        if ready is None:
            return
        if block is None:
            return self._host.missing("The layers of the network are not known yet. Try again in a moment.")
        others = [layer for layer in self._host.viewer.layers if is_source_image(layer) and layer is not ready.image]
        pairs = [(ready.image, ready.stack)]
        for layer in others:
            stack = self._host.session.stack(layer)
            if not misfit(ready.bundle.card, stack).endswith("cannot be used on it."):
                pairs.append((layer, stack))
        feature, images = self.feature.value(), [image for image, _ in pairs]
        limits = [tuple(float(value) for value in image.contrast_limits) if not image.rgb else (0.0, 255.0) for image in images]
        process = self._host.process
        asked = partial(
            process.client.inside_steps,
            "patches",
            ready.bundle,
            *(stack for _, stack in pairs),
            device=process.device,
            layer=block.name,
            feature=feature,
            count=COUNT,
        )
        steps = partial(_drawn_patches_steps, asked, limits, [image.name for image in images])
        self._host.ask(steps, partial(self._show_patches, images, f"feature {feature} of {block.name}"), f"Searching for feature {feature} of {block.name}")
        return None

    def _show_patches(self, images: list[Image], what: str, answer: tuple[tuple[Patch, ...], tuple[Picture, ...]]) -> None:
        self._found, pictures = answer
        self._images = images
        self.gallery.show_pictures(pictures, PATCH_PX, f"Where {what} is strongest")
        self._host.reveal(self.gallery)
        if not pictures:
            return self._host.missing(f"The {what} answers to nothing in the open images.")
        return self._host.done(f"Where {what} is strongest. Click a patch to go there.")

    def _picture_clicked(self, number: int) -> None:
        if number < len(self._found):
            patch = self._found[number]
            image = self._images[patch.image]
            if image not in self._host.viewer.layers:
                return self._host.missing("That image was closed meanwhile.")
            self._marks.append(show_boxes(self._host.viewer, image, patch.plane, [patch.box], f"{image.name} · patch"))
            go_to_place(self._host.viewer, image, patch.plane, patch.centre, patch.box)
        return None

    def _field(self) -> None:
        ready, pixel = self._host.ready(), self._host.pixel
        if ready is None:
            return
        if pixel is None:
            return self._host.missing("Click a pixel in the picture first, with “pixel” chosen above: how far it sees is drawn around it.")
        target = Target(int(ready.bundle.card["classes"][0]["value"]), point=pixel)
        return self._ask("receptive_field", partial(self._show_field, ready, pixel), "How far it sees", ready, ready.stack, target=target)

    def _show_field(self, ready: Ready, pixel: tuple[int, ...], field: ReceptiveField) -> None:
        plane = tuple(at for at, axis in zip(pixel, ready.stack.label_axes, strict=True) if axis not in "YX")
        step_to_plane(self._host.viewer, ready.image, plane)
        self._marks.append(show_field(self._host.viewer, ready.image, plane, field, f"{ready.image.name} · how far it sees"))
        side = round(field.side_px)
        size = f"{side} px" + (f" ({spacing_text((side * ready.stack.spacing_of('X'),))})" if ready.stack.spacing_um else "")
        reach = f"{field.box[2] - field.box[0]}×{field.box[3] - field.box[1]} px"
        self._host.done(f"The pixel's answer depends on about {size} across (orange); the network could see {reach} (blue).")


def _limited_steps(asked: Any) -> Steps[tuple[Stack, tuple[float, float]]]:
    seen = yield from asked()
    return seen, limits_of_maps(np.asarray(seen.data))


def _drawn_filters_steps(asked: Any) -> Steps[tuple[Stack, tuple[Picture, ...]]]:
    filters = yield from asked()
    yield Progress(0, 0, "drawing")
    return filters, filter_pictures(filters)


def _drawn_patches_steps(asked: Any, limits: Any, names: Any) -> Steps[tuple[tuple[Patch, ...], tuple[Picture, ...]]]:
    patches = yield from asked()
    yield Progress(0, 0, "drawing")
    return patches, patch_pictures(patches, limits, names)
