"""A small gallery: filters of a network, or the patches that one of its features likes best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QAbstractItemView, QListView, QListWidget, QListWidgetItem, QWidget

from napari_segtool.core.inside import Patch
from napari_segtool.core.stack import Stack
from napari_segtool.ui._compare_grid import pixmap_of
from napari_segtool.ui._explain_look import overlay_colormap

PATCH_PX, FILTER_PX = 72, 40
_HEIGHT_PX = 172


@dataclass(frozen=True, eq=False)
class Picture:
    """One cell.

    Parameters
    ----------
    pixels
        uint8 ``(height, width, 3)``.
    text
        Under it; may be empty.
    tip
        Tooltip.
    """

    pixels: NDArray[np.uint8]
    text: str = ""
    tip: str = ""


class Gallery(QListWidget):
    """Pictures in rows, as many beside each other as fit; a click on one says its number."""

    wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSpacing(2)
        self.setFixedHeight(_HEIGHT_PX)
        self.itemClicked.connect(self._clicked)
        self.itemActivated.connect(self._clicked)
        self.hide()

    def show_pictures(self, pictures: Sequence[Picture], side_px: int, title: str) -> None:
        """Show these, each no larger than a side."""
        self.clear()
        self.setAccessibleName(title)
        self.setToolTip(title)
        self.setIconSize(QSize(side_px, side_px))
        for picture in pictures:
            pixmap, icon = pixmap_of(picture.pixels), QIcon()
            for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected, QIcon.Mode.Active):  # Qt would tint the one selected
                icon.addPixmap(pixmap, mode)
            cell = QListWidgetItem(icon, picture.text, self)
            cell.setToolTip(picture.tip)
            cell.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.setVisible(bool(pictures))

    def _clicked(self, cell: QListWidgetItem) -> None:
        self.wanted.emit(self.row(cell))


def filter_pictures(filters: Stack) -> tuple[Picture, ...]:
    """Draw each filter, the mean over the channels it looks at: red where it adds, blue where it takes away, white for nothing.

    Parameters
    ----------
    filters
        As `api.filters` returns them. Of a filter through several slices the middle one is drawn.
    """
    kernels = np.asarray(filters.data, np.float32).mean(1)
    kernels = kernels[:, kernels.shape[1] // 2] if kernels.ndim == 4 else kernels
    pictures = []
    for number, kernel in enumerate(kernels):
        strongest = float(np.abs(kernel).max()) or 1.0
        colours = overlay_colormap(True, 0.0).map((kernel.ravel() / strongest + 1) / 2)[:, :3].reshape(*kernel.shape, 3)
        pixels = _enlarged((255 * colours).astype(np.uint8), FILTER_PX, smooth=False)
        pictures.append(Picture(pixels, "", f"Filter {number}: {kernel.shape[0]}×{kernel.shape[1]} px. Red adds, blue takes away."))
    return tuple(pictures)


def patch_pictures(patches: Sequence[Patch], limits: Sequence[tuple[float, float]], names: Sequence[str]) -> tuple[Picture, ...]:
    """Draw patches with the grey values of their images.

    Parameters
    ----------
    limits
        For each image what is shown black and white.
    names
        Names of the images.
    """
    pictures = []
    for patch in patches:
        low, high = limits[patch.image]
        shown = np.asarray(patch.pixels, np.float32)
        colour = shown.ndim == 3 and shown.shape[0] == 3
        grey = np.moveaxis(shown, 0, -1) if colour else shown if shown.ndim == 2 else shown.mean(0)
        scaled = ((np.nan_to_num(grey) - low) * (255 / ((high - low) or 1.0))).clip(0, 255).astype(np.uint8)
        pixels = scaled if colour else np.repeat(scaled[..., None], 3, axis=-1)
        where = ", ".join(map(str, patch.plane))
        tip = (
            f"{names[patch.image]}{f', slice {where}' if where else ''}, y {patch.centre[0]}, x {patch.centre[1]}: answer {patch.value:.3g}. Click to go there."
        )
        pictures.append(Picture(_enlarged(pixels, PATCH_PX, smooth=True), f"{patch.value:.2g}", tip))
    return tuple(pictures)


def _enlarged(pixels: NDArray[np.uint8], side_px: int, *, smooth: bool) -> NDArray[np.uint8]:
    import cv2

    scale = side_px / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    how = cv2.INTER_NEAREST if not smooth else cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how))
