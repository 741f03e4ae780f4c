"""Network: what is about to be trained, as a drawing, with how far it sees, its parameters and its memory; it follows the settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractItemView, QCheckBox, QHBoxLayout, QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QTabWidget

from napari_segtool.core.stack import Stack
from napari_segtool.nets._drawing import NetworkDrawing
from napari_segtool.ui._bridge import META, axes_of, data_of, placement_of
from napari_segtool.ui._facts import count_text, memory_text, spacing_text
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._plane_layer import kept_selection, remove_layer
from napari_segtool.ui._train_drawing import DrawingView
from napari_segtool.ui._train_order import Order
from napari_segtool.ui._train_tool import SETTLED_MS, Tool

_PLACEHOLDER = "The network is drawn here."
FIELD, PATCH = "#E69F00", "#56B4E9"
_CONTOURS = 400


class Network(Tool):
    """Drawing and table of layers; a check box shows in the picture how far the network sees."""

    title = "Network"
    action = "Draw again"
    action_help = "Describe the network anew; it is also done by itself when settings change."
    size_px = (1080, 620)

    def build(self) -> None:
        """The summary, the drawing, the table."""
        self.drawing: NetworkDrawing | None = None
        self._stack: Stack | None = None
        self._shown: Labels | None = None
        self.summary = wrapping(QLabel(_PLACEHOLDER))
        self.summary.setTextFormat(Qt.TextFormat.RichText)
        self.summary.setMinimumHeight(2 * self.summary.fontMetrics().lineSpacing() + 4)
        self.seen = QCheckBox("Show in the picture")
        self.seen.setToolTip("Draw two squares on the image: orange is what the network sees to decide the pixel in the middle, blue a patch it learns from.")
        self.seen.clicked.connect(self._show_seen)
        self.view = DrawingView()
        self.table = QTableWidget(0, 5)
        self.table.setHorizontalHeaderLabels(["Block", "Layer", "In", "Out", "Parameters"])
        self.table.setAccessibleName("Layers")
        self.table.setToolTip("Every layer, in the order they work; shapes are channels, then pixels of one patch.")
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setTabKeyNavigation(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setHighlightSections(False)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.view, "Drawing")
        self.tabs.addTab(self.table, "Layers")
        top = QHBoxLayout()
        top.addWidget(self.summary, 1)
        top.addWidget(self.seen)
        top.setAlignment(self.seen, Qt.AlignmentFlag.AlignTop)
        self.page.addLayout(top)
        self.page.addWidget(self.tabs, 1)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SETTLED_MS)
        self._later.timeout.connect(self._again)

    def look(self, order: Order) -> None:
        """Describe what would be trained."""
        self.run(partial(self.adviser.ask_steps, "network", order), partial(self._arrived, order), "Describing the network")

    def settings_changed(self) -> None:
        """Draw anew when the settings have come to rest."""
        self._later.start()

    def closed(self) -> None:
        """Take the squares away."""
        self._later.stop()
        self._drop_seen()

    def _again(self) -> None:
        if self.job is not None:
            self._later.start()
        elif self.isVisible():
            self.guarded(self.start)

    def _arrived(self, order: Order, drawing: NetworkDrawing) -> None:
        self.drawing, self._stack = drawing, order.pairs[0][0]
        self.summary.setText(summary_of(drawing, self._stack))
        theme = get_theme(self.session.viewer.theme)
        self.view.show_drawing(drawing, theme.text.as_hex(), theme.background.as_hex())
        self._fill(drawing)
        self._show_seen()
        self.done("Rest the mouse on a box to see its layers. Memory is counted in float32, without what libraries take on top.")

    def _fill(self, drawing: NetworkDrawing) -> None:
        self.table.setRowCount(len(drawing.layers))
        for row, layer in enumerate(drawing.layers):
            cells = (layer.block, layer.kind, _shape(layer.shape_in), _shape(layer.shape_out), count_text(layer.parameters) if layer.parameters else "–")
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if column == 4:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        self.tabs.setTabText(1, f"Layers ({len(drawing.layers)})")

    # in the picture

    def _show_seen(self, _: bool = False) -> None:
        self._drop_seen()
        layer = self.session.image
        if self.drawing is None or layer is None or not self.seen.isChecked() or not self.isVisible():
            return
        axes = axes_of(layer).replace("S", "")
        centre = [(data_of(layer).shape[axes.index(letter)] - 1) / 2 for letter in "YX"]
        squares, corner = squares_of(self.drawing.receptive_field.px[-2:], self.drawing.patch_px[-2:], centre)
        placement = _flat_placement(layer)
        placement["translate"] = tuple(np.asarray(placement["translate"]) + np.asarray(placement["scale"]) * corner)
        self._shown = Labels(
            squares,
            name=f"{layer.name} · what the network sees",
            colormap=DirectLabelColormap(color_dict={None: "transparent", 1: PATCH, 2: FIELD}),
            opacity=1.0,
            metadata={META: {"role": "preview", "source": layer.name}},
            **placement,
        )
        self._shown.contour = max(1, round(2 * max(centre) / _CONTOURS))
        self._shown.editable = False
        viewer = self.session.viewer
        with kept_selection(viewer):
            viewer.add_layer(self._shown)

    def _drop_seen(self) -> None:
        shown, self._shown = self._shown, None
        remove_layer(self.session.viewer, shown)


def summary_of(drawing: NetworkDrawing, stack: Stack) -> str:
    """Say in rich text how far a network sees, how large it is, and what memory it takes."""
    field, patch = drawing.receptive_field.px, "×".join(map(str, drawing.patch_px))
    around = "×".join(map(str, field))
    if stack.spacing_um:
        lengths = tuple(side * stack.spacing_of(letter) for side, letter in zip(field, "ZYX"[-len(field) :], strict=True))
        around += f" px ({spacing_text(lengths)})"
    else:
        around += " px"
    patches = f"{drawing.batch} patches" if drawing.batch > 1 else "one patch"
    training, prediction = (memory_text(size / 2**20) for size in (drawing.training_bytes, drawing.prediction_bytes))
    return (
        f"<b>{drawing.title}</b>, {drawing.spatial}-D: <b>{count_text(drawing.parameters)}</b> parameters. For one pixel it sees <b>{around}</b> around it. "
        f"A step with {patches} of {patch} px takes about <b>{training}</b>, predicting as many {prediction}."
    )


def _flat_placement(layer: Any) -> dict[str, Any]:
    """Where a layer of only Y and X lies over an image, on whatever slice is shown."""
    placement = placement_of(layer)
    axes = [letter for i, letter in enumerate(axes_of(layer).replace("S", "")) if letter != "C" or i > 0]
    keep = [axes.index(letter) for letter in axes if letter in "YX"]
    return {
        "scale": tuple(np.asarray(placement["scale"])[keep]),
        "translate": tuple(np.asarray(placement["translate"])[keep]),
        "units": tuple(placement["units"][i] for i in keep),
        "axis_labels": tuple(placement["axis_labels"][i] for i in keep),
    }


def squares_of(field_px: Sequence[int], patch_px: Sequence[int], centre: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Draw two squares about a place.

    Returns
    -------
    squares, corner
        uint8 ``(Y, X)``: 1 in the patch, 2 in the receptive field, 0 in a border of two pixels around both; and where its first pixel lies.

    Examples
    --------
    >>> squares, corner = squares_of((3, 3), (5, 5), (10, 10))
    >>> squares.shape, int((squares == 2).sum()), corner.tolist()
    ((9, 9), 9, [6.0, 6.0])
    """
    sides = np.maximum(field_px, patch_px) + 4
    squares = np.zeros(sides, np.uint8)
    for value, size in sorted(((1, patch_px), (2, field_px)), key=lambda pair: -max(pair[1])):
        first = (sides - np.asarray(size)) // 2
        squares[first[0] : first[0] + size[0], first[1] : first[1] + size[1]] = value
    return squares, np.round(np.asarray(centre) - (sides - 1) / 2)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
