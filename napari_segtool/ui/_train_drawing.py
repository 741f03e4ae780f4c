"""A network as a drawing: a box for each block, deeper levels lower, arrows between them, skips dashed."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFont, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QGraphicsItem, QGraphicsScene, QGraphicsView, QWidget

from napari_segtool.nets._drawing import DrawnBlock, NetworkDrawing, Shape
from napari_segtool.ui._facts import count_text

BOX_W, BOX_H, GAP_W, LEVEL_H = 92.0, 44.0, 14.0, 78.0
DOWN, BOTTOM, UP, HEAD, INPUT = "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#999999"
_INK = "#000000"
_NAME = 0  # where an item of the scene keeps the name of its block
_HIT_PX = 16.0  # an arrow is clicked within half of this


@dataclass(frozen=True)
class Placed:
    """A box of the drawing; ``block`` is None for the input."""

    block: DrawnBlock | None
    rect: QRectF
    colour: str
    lines: tuple[str, str]


def boxes_of(drawing: NetworkDrawing, *, named: bool = False) -> tuple[Placed, ...]:
    """Lay out the blocks that change features, in the order they work; poolings and up-convolutions are the arrows between them.

    Parameters
    ----------
    named
        Write the blocks' names into the boxes, not the sizes of a patch.
    """
    shown = [block for block in drawing.blocks if not is_move(block)]
    deepest = max((block.level for block in shown), default=0)
    bottom = max((number for number, block in enumerate(shown) if block.level == deepest), default=0)
    first = drawing.blocks[0]
    placed = [Placed(None, _rect(0, 0), INPUT, ("image", _channels(first.shape_in[0]) if named else _size(first.shape_in)))]
    for number, block in enumerate(shown):
        head = number == len(shown) - 1 and "conv 1" in block.summary
        colour = HEAD if head else BOTTOM if block.level == deepest else DOWN if number < bottom else UP
        placed.append(Placed(block, _rect(number + 1, block.level), colour, _lines(block, named, head)))
    return tuple(placed)


def is_move(block: DrawnBlock) -> bool:
    """True for a block that only takes features to another level."""
    return block.name.split(".")[0] in ("pool", "unpool")


class DrawingView(QGraphicsView):
    """Shows a drawing as large as there is room for; every box tells more when the mouse rests on it."""

    clicked = Signal(str)
    """Name of a block, when its box was clicked, or the arrow that stands for it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = QGraphicsScene(self)
        self.setScene(self._scene)
        self.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.setFrameShape(QGraphicsView.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumHeight(180)
        self.setAccessibleName("Drawing of the network")
        self.boxes: tuple[Placed, ...] = ()
        self.marked = ""
        """Name of the block that is marked."""
        self._links: Collection[str] = ()
        self._arrows: dict[str, tuple[QPointF, QPointF]] = {}
        self._mark: QGraphicsItem | None = None
        self._text_colour = _INK
        self._pressed = ""

    def show_drawing(self, drawing: NetworkDrawing, text_colour: str, background: str, *, links: Collection[str] | None = None) -> None:
        """Draw a network in the colours of the theme.

        Parameters
        ----------
        links
            Names of the blocks over which the mouse is a hand; with any, even none, the boxes bear the blocks' names.
        """
        self.clear()
        self.setBackgroundBrush(QBrush(QColor(background)))
        self._links, self._text_colour = links or (), text_colour
        self.boxes = boxes_of(drawing, named=links is not None)
        places = {box.block.name: box.rect for box in self.boxes if box.block is not None}
        self._skips(drawing, places, text_colour)
        self._steps(drawing, text_colour)
        details = details_of(drawing)
        for box in self.boxes:
            self._box(box, details.get(box.block.name, "") if box.block is not None else "What the network is shown.")
        self._scene.setSceneRect(self._scene.itemsBoundingRect().adjusted(-8, -8, 8, 8))
        self.mark(self.marked)
        self._fit()

    def clear(self) -> None:
        """Draw nothing."""
        self._mark, self._arrows, self.boxes = None, {}, ()
        self._scene.clear()

    def mark(self, name: str) -> None:
        """Frame a block's box, or make its arrow thick; a name that is not drawn unmarks."""
        self.marked = name
        if self._mark is not None:
            self._scene.removeItem(self._mark)
            self._mark = None
        rect = next((box.rect for box in self.boxes if box.block is not None and box.block.name == name), None)
        if rect is not None:
            self._mark = self._scene.addRect(rect.adjusted(-4, -4, 4, 4), QPen(QColor(self._text_colour), 3))
        elif name in self._arrows:
            start, end = self._arrows[name]
            self._mark = self._scene.addLine(start.x(), start.y(), end.x(), end.y(), QPen(QColor(self._text_colour), 6))
        if self._mark is not None:
            self._mark.setZValue(-1)

    def name_at(self, at: Any) -> str:
        """Return which block is drawn at a point of the view; empty where there is none."""
        item = self.itemAt(at)
        return str(item.data(_NAME) or "") if item is not None else ""

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        """Remember where a click begins."""
        self._pressed = self.name_at(event.pos()) if event.button() == Qt.MouseButton.LeftButton else ""
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: Any) -> None:  # noqa: N802
        """A click ends on the block it began on."""
        super().mouseReleaseEvent(event)
        pressed, self._pressed = self._pressed, ""
        if pressed and event.button() == Qt.MouseButton.LeftButton and self.name_at(event.pos()) == pressed:
            self.clicked.emit(pressed)

    def _link(self, item: QGraphicsItem, name: str, tip: str) -> None:
        item.setData(_NAME, name)
        item.setToolTip(tip)
        if name in self._links:
            item.setCursor(Qt.CursorShape.PointingHandCursor)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Draw as large as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Draw as large as there is room for."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self.boxes:
            self.fitInView(self._scene.sceneRect(), Qt.AspectRatioMode.KeepAspectRatio)
            if self.transform().m11() > 1.25:
                self.resetTransform()
                self.scale(1.25, 1.25)

    def _box(self, box: Placed, tip: str) -> None:
        item = self._scene.addRect(box.rect, QPen(Qt.PenStyle.NoPen), QBrush(QColor(box.colour)))
        name = box.block.name if box.block is not None else ""
        self._link(item, name, tip)
        for number, line in enumerate(box.lines):
            text = self._scene.addSimpleText(line)
            font = QFont(text.font())
            font.setPixelSize(13 if number == 0 else 11)
            font.setBold(number == 0)
            text.setFont(font)
            text.setBrush(QBrush(QColor(_INK)))
            width = text.boundingRect().width()
            text.setScale(min(1.0, (BOX_W - 6) / width) if width else 1.0)
            text.setPos(box.rect.center().x() - min(width, BOX_W - 6) / 2, box.rect.top() + (6 if number == 0 else 24))
            self._link(text, name, tip)

    def _skips(self, drawing: NetworkDrawing, places: Mapping[str, QRectF], colour: str) -> None:
        pen = QPen(QColor(colour), 1.4, Qt.PenStyle.DashLine)
        for skip in drawing.skips:
            if skip.source in places and skip.target in places:
                start, end = places[skip.source], places[skip.target]
                tip = f"Skip: {_size(skip.shape)} with {skip.shape[0]} channels are handed on to the way up."
                self._arrow(QPointF(start.right(), start.center().y()), QPointF(end.left(), end.center().y()), pen, tip)

    def _steps(self, drawing: NetworkDrawing, colour: str) -> None:
        pen = QPen(QColor(colour), 1.8)
        moves: dict[str, DrawnBlock] = {}
        move: DrawnBlock | None = None
        for block in drawing.blocks:
            if is_move(block):
                move = block
            elif move is not None:
                moves[block.name], move = move, None
        for before, after in zip(self.boxes, self.boxes[1:], strict=False):
            by = moves.get(after.block.name) if after.block is not None else None
            down, up = after.rect.top() > before.rect.bottom(), after.rect.bottom() < before.rect.top()
            start = QPointF(before.rect.right() - 14, before.rect.bottom() if down else before.rect.top())
            end = QPointF(after.rect.left() + 14, after.rect.top() if down else after.rect.bottom())
            if not down and not up:
                start, end = QPointF(before.rect.right(), before.rect.center().y()), QPointF(after.rect.left(), after.rect.center().y())
            self._arrow(start, end, pen, by.summary if by is not None else "")
            if by is not None:
                self._arrows[by.name] = start, end
                around = self._scene.addLine(start.x(), start.y(), end.x(), end.y(), QPen(Qt.GlobalColor.transparent, _HIT_PX))
                self._link(around, by.name, f"<b>{html.escape(by.name)}</b><br>{html.escape(by.summary)}" if by.name in self._links else by.summary)

    def _arrow(self, start: QPointF, end: QPointF, pen: QPen, tip: str) -> None:
        line = self._scene.addLine(start.x(), start.y(), end.x(), end.y(), pen)
        line.setToolTip(tip)
        along = end - start
        length = max(1e-6, (along.x() ** 2 + along.y() ** 2) ** 0.5)
        unit, side = along / length, QPointF(-along.y(), along.x()) / length
        head = QPolygonF([end, end - unit * 8 + side * 4, end - unit * 8 - side * 4])
        self._scene.addPolygon(head, QPen(Qt.PenStyle.NoPen), QBrush(pen.color())).setToolTip(tip)


def details_of(drawing: NetworkDrawing) -> dict[str, str]:
    """Return what each block is made of, for tooltips in rich text."""
    told = {}
    for block in drawing.blocks:
        layers = [f"{layer.kind}: {_size(layer.shape_out)}, {layer.shape_out[0]} channels" for layer in drawing.layers if layer.block == block.name]
        head = f"<b>{html.escape(block.name)}</b> · {count_text(block.parameters)} parameters"
        told[block.name] = "<br>".join([head, *map(html.escape, layers or [block.summary])])
    return told


def _rect(column: int, level: int) -> QRectF:
    return QRectF(column * (BOX_W + GAP_W), level * LEVEL_H, BOX_W, BOX_H)


def _lines(block: DrawnBlock, named: bool, head: bool) -> tuple[str, str]:
    count = f"{block.shape_out[0]} {'classes' if head else 'features' if named else 'channels'}"
    return (block.name, count) if named else (count, _size(block.shape_out))


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count > 1 else ''}"


def _size(shape: Shape) -> str:
    return "×".join(str(side) for side in shape[1:])
