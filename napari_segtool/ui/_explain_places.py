"""From looking to fixing: places that look to the network like a wrong object, uncertain ones first; go there and paint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QPushButton, QSlider, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_segtool.core.inside import Place
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.ui._bridge import fits, is_paint_like
from napari_segtool.ui._explain_asked import Wish
from napari_segtool.ui._explain_host import Host, Ready
from napari_segtool.ui._explain_show import go_to_place, show_boxes
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._plane_layer import remove_layer

if TYPE_CHECKING:
    from napari_segtool._worker_client import WorkerClient

COUNT, UNCERTAIN = 20, 25
_ROWS = 6
_HINT = "Point at something that is segmented wrongly (object or region above), and find others like it, to paint there."


class PlacesSection(Fold):
    """A button, a ranked list, and the way to Annotate.

    The user wants the next stroke to count. Empty: a line says what to point at. Done: the list, best first, and the first place is shown.
    """

    def __init__(self, host: Host, parent: QWidget | None = None) -> None:
        super().__init__("From looking to fixing", parent)
        self._host = host
        self.places: tuple[Place, ...] = ()
        self._image: Image | None = None
        self._box: Layer | None = None
        self.button.setToolTip("Find places like a wrong one, and paint there.")
        self.hint = wrapping(QLabel(_HINT))
        self.find_button = QPushButton("Find places like this")
        self.find_button.setToolTip("Search the whole image for places that look to the network like the object, region or pixel chosen above.")
        self.find_button.clicked.connect(self._find_clicked)
        self.uncertain = QSlider(Qt.Orientation.Horizontal)
        self.uncertain.setRange(0, 100)
        self.uncertain.setValue(UNCERTAIN)
        self.uncertain.setAccessibleName("Uncertain first")
        self.uncertain.setToolTip("What counts in the order of places: at the left only how alike they are, at the right only how unsure the network is.")
        guard_wheel(self.uncertain)
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Place", "Alike", "Unsure"])
        self.list.setAccessibleName("Places")
        self.list.setToolTip("Best first; click one to go there. Alike: 1 is the same to the network. Unsure: 0 is certain, 1 undecided.")
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.setFixedHeight((_ROWS + 1) * (self.list.fontMetrics().lineSpacing() + 6) + 6)
        self.list.currentItemChanged.connect(self._row_changed)
        self.list.itemClicked.connect(self._row_changed)
        self._soon = QTimer(self)  # a click on another row says so twice
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._show_chosen)
        self.paint_button = QPushButton("Paint here")
        self.paint_button.setToolTip("Go to the place chosen, and to the Annotate panel with the brush.")
        self.paint_button.clicked.connect(self._paint_clicked)
        label = QLabel("Uncertain first")
        label.setBuddy(self.uncertain)
        label.setToolTip(self.uncertain.toolTip())
        row = QHBoxLayout()
        row.addWidget(label)
        row.addWidget(self.uncertain, 1)
        column = QVBoxLayout()
        column.setSpacing(4)
        column.addWidget(self.hint)
        column.addLayout(row)
        for widget in (self.find_button, self.list, self.paint_button):
            column.addWidget(widget)
        self.setContentLayout(column)
        self._show_list()

    def clear(self) -> None:
        """Take the box away from the picture."""
        box, self._box = self._box, None
        remove_layer(self._host.viewer, box)

    def forget(self) -> None:
        """The places belong to another image."""
        self.clear()
        self.places, self._image = (), None
        self._show_list()

    def start(self) -> None:
        """Search."""
        ready = self._host.ready()
        wish = None if ready is None else self._host.wish(ready)
        if ready is None or wish is None:
            return
        if wish.kind == "class":
            return self._host.missing("Choose an object, a region or a pixel above: places like a whole class are that class.")
        process = self._host.process
        steps = partial(_places_steps, process.client, ready, wish, self.uncertain.value() / 100, process.device)
        self._host.ask(steps, partial(self._arrived, ready.image), "Searching for places like this")
        return None

    def _arrived(self, image: Image, places: tuple[Place, ...]) -> None:
        self.places, self._image = places, image
        self._show_list()
        self._host.reveal(self.paint_button)
        if not places:
            return self._host.missing("There is no other place like this in the image.")
        self._host.done(f"{len(places)} places like this, the best first. Click one to go there, then paint.", {"Paint here": self.paint_here})
        self.list.setCurrentItem(self.list.topLevelItem(0))
        return None

    def paint_here(self) -> None:
        """Go to the place chosen, and take the brush."""
        place, image = self._chosen(), self._image
        if place is None or image is None:
            return self._host.missing("Choose a place in the list first.")
        self._go(place)
        from napari_segtool.ui.workspace import show_panel

        viewer = self._host.viewer
        annotate = show_panel(viewer, "annotate")
        layer = annotate.labels
        if layer is None or not is_paint_like(layer) or not fits(layer, image):
            annotate.session.image = image
            annotate.start()
        else:
            viewer.layers.selection.active = layer
            layer.visible = True
            layer.mode = "paint"
        return None

    def _show_list(self) -> None:
        self.list.clear()
        for place in self.places:
            where = f"slice {', '.join(map(str, place.plane))} · " if place.plane else ""
            cells = (f"{where}y {place.centre[0]}, x {place.centre[1]}", f"{place.similarity:.2f}", f"{place.uncertainty:.2f}")
            item = QTreeWidgetItem(self.list, cells)
            for column in (1, 2):
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for widget in (self.list, self.paint_button):
            widget.setVisible(bool(self.places))

    def _chosen(self) -> Place | None:
        item = self.list.currentItem()
        return None if item is None else self.places[self.list.indexOfTopLevelItem(item)]

    def _row_changed(self, *_: Any) -> None:
        self._soon.start(0)

    def _show_chosen(self) -> None:
        place = self._chosen()
        if place is not None:
            self._host.guarded(partial(self._go, place))

    def _go(self, place: Place) -> None:
        image, viewer = self._image, self._host.viewer
        if image is None or image not in viewer.layers:
            return self._host.missing("The image was closed meanwhile.")
        self._box = show_boxes(viewer, image, place.plane, [place.box], f"{image.name} · place like this")
        go_to_place(viewer, image, place.plane, place.centre, place.box)
        return None

    def _find_clicked(self, _: bool) -> None:
        self._host.guarded(self.start)

    def _paint_clicked(self, _: bool) -> None:
        self._host.guarded(self.paint_here)


def _places_steps(client: WorkerClient, ready: Ready, wish: Wish, uncertain: float, device: str) -> Steps[tuple[Place, ...]]:
    yield Progress(0, 0, "looking")
    region = wish.region()
    found: tuple[Place, ...] = yield from client.inside_steps(
        "similar_places", ready.bundle, ready.stack, region=region, plane=wish.plane, count=COUNT, uncertain=uncertain, device=device
    )
    return found
