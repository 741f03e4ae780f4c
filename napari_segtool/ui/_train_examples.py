"""Look at examples: patches as the network will be shown them, varied, with their labels over them."""

from __future__ import annotations

import html
from functools import partial

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QAbstractItemView, QCheckBox, QHBoxLayout, QLabel, QListView, QListWidget, QListWidgetItem

from napari_segtool.core.labels import class_colour
from napari_segtool.ui._compare_grid import pixmap_of
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._train_order import Order
from napari_segtool.ui._train_pictured import LARGEST_PX, Pictured
from napari_segtool.ui._train_tool import Tool

COUNT = 8


class Examples(Tool):
    """A grid of examples; "Again" draws others."""

    title = "Examples to learn from"
    action = "Again"
    action_help = "Draw other patches, varied anew."
    size_px = (920, 620)

    def build(self) -> None:
        """The grid, and what to show in it."""
        self._seed = 0
        self.pictures: tuple[Pictured, ...] = ()
        about = wrapping(QLabel("Patches as the network will see them: cut where labels are, scaled, and varied so that it does not learn them by heart."))
        about.setMinimumHeight(2 * about.fontMetrics().lineSpacing() + 2)
        self.varied = QCheckBox("Varied")
        self.varied.setChecked(True)
        self.varied.setToolTip("As the network sees them; without, the same patches as they were cut.")
        self.labels = QCheckBox("Labels")
        self.labels.setChecked(True)
        self.labels.setToolTip("Show the labels in the colours of their classes; what has no colour is not labelled, or the first class of a mask.")
        for box in (self.varied, self.labels):
            box.clicked.connect(self._show)
        self.grid = QListWidget()
        self.grid.setAccessibleName("Examples")
        self.grid.setViewMode(QListView.ViewMode.IconMode)
        self.grid.setMovement(QListView.Movement.Static)
        self.grid.setResizeMode(QListView.ResizeMode.Adjust)
        self.grid.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.grid.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.grid.setIconSize(QSize(LARGEST_PX, LARGEST_PX))
        self.grid.setSpacing(6)
        top = QHBoxLayout()
        top.addWidget(about, 1)
        top.addWidget(self.varied)
        top.addWidget(self.labels)
        self.page.addLayout(top)
        self.page.addWidget(self.grid, 1)
        self.legend = wrapping(QLabel())
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.page.addWidget(self.legend)

    def look(self, order: Order) -> None:
        """Draw others than the last time."""
        self._seed += 1
        self.run(partial(self.adviser.ask_steps, "examples", order, count=COUNT, drawn=self._seed), partial(self._arrived, order), "Cutting patches")

    def settings_changed(self) -> None:
        """Say that these were drawn with other settings."""
        if self.job is None and self.pictures:
            self.say("The settings have changed since: draw again to see what they make of it.")

    def _arrived(self, order: Order, pictures: tuple[Pictured, ...]) -> None:
        self.pictures = pictures
        self.legend.setText(legend_of(order))
        self._show()
        more = f" Only the first of {len(order.pairs)} images is shown." if len(order.pairs) > 1 else ""
        self.done(f"{len(pictures)} patches of {order.pairs[0][0].name or 'the image'}.{more}")

    def _show(self, _: bool = False) -> None:
        self.grid.clear()
        for number, pictured in enumerate(self.pictures, start=1):
            picture = pictured.picture(varied=self.varied.isChecked(), labels=self.labels.isChecked())
            item = QListWidgetItem(QIcon(pixmap_of(picture)), "")
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            item.setToolTip(f"Example {number}")
            self.grid.addItem(item)


def legend_of(order: Order) -> str:
    """Name the colours of the classes, in rich text; empty where classes have no names."""
    names = [html.escape(name) for _, name in sorted(order.class_names.items())]
    if order.labels_are == "paint":
        coloured, clear = [(value, html.escape(name)) for value, name in sorted(order.class_names.items())], "not labelled"
    else:
        coloured, clear = list(enumerate(names))[1:], f"{names[0]}, dark: seen, not learned from" if names else ""
    told = [f'<span style="color:{class_colour(value)}">●</span>&nbsp;{name}' for value, name in coloured]
    return " &nbsp; ".join([*told, f"no colour: {clear}"]) if told else ""
