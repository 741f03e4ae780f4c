"""Take the pictures of README and docs from a real window, on a sample made by code: ``make screenshots``.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/screenshots.py [--minutes 3] [--out docs/images]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path(tempfile.mkdtemp(prefix="segtool-pictures-"))
os.environ["NAPARI_CONFIG"] = str(HOME / "napari.yaml")  # nobody's own settings are read or changed
os.environ["SEGTOOL_CONFIG"] = str(HOME / "segtool.json")
os.environ["SEGTOOL_RUNS_FOLDER"] = str(HOME / "runs")

import napari
import numpy as np
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_segtool import api
from napari_segtool.annotate.strokes import simulated_strokes
from napari_segtool.ui._open import show_sample
from napari_segtool.ui.compare import CompareDialog
from napari_segtool.ui.workspace import open_workspace, show_panel

SIZE_PX = (1440, 860)
PAINTED = (2, 8, 13)
SHOWN = 5
COMPARISON_PX = (1100, 720)


def main() -> None:
    """Walk through the loop and photograph each panel."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path(__file__).with_name("images"))
    options.add_argument("--minutes", type=float, default=3.0)
    chosen = options.parse_args()
    chosen.out.mkdir(exist_ok=True)

    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(*SIZE_PX)
    open_workspace(viewer)
    stack, truth = api.sample("em")
    show_sample(viewer, stack, truth)
    image = viewer.layers[0]

    def photograph(name: str) -> None:
        QTest.qWait(900)
        for widget in QApplication.topLevelWidgets() + viewer.window._qt_window.findChildren(QWidget):
            if "Notification" in type(widget).__name__:
                widget.close()
        picture = viewer.window.screenshot(canvas_only=False, flash=False)
        _save(np.asarray(picture), chosen.out / f"{name}.png")

    annotate = show_panel(viewer, "annotate")
    viewer.layers.selection.active = image
    annotate.start()
    paint = annotate.labels
    annotate.add_button.click()
    for row, title in enumerate(("membrane", "cytoplasm", "mitochondrion")):
        annotate.table.item(row, 1).setText(title)
    annotate.setFocus()
    strokes = simulated_strokes(np.asarray(truth.data), PAINTED, seed=1)
    for value in (1, 2, 3):
        paint.data_setitem(np.nonzero(strokes == value), value)
    paint.refresh()
    _go_to(viewer, PAINTED[1])
    photograph("annotate")

    segment = show_panel(viewer, "segment")
    _choose(segment.chooser, "kmeans")
    photograph("segment")
    segment.compare_button.click()
    dialog = next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, CompareDialog))
    dialog.resize(*COMPARISON_PX)
    _wait(lambda: dialog.comparison.use_button.isEnabled(), 120)
    QTest.qWait(500)
    _save(_pixels_of(dialog), chosen.out / "compare.png")
    dialog.close()

    train = show_panel(viewer, "train")
    _go_to(viewer, SHOWN)
    train.budget.set_budget(minutes=chosen.minutes)
    train.form.set_values({"base_channels": 16})
    train.start()
    _wait(lambda: train.desk.history.step > 0, 120)
    _wait(lambda: train.state != "working" or train.desk.history.seconds_left < 0.3 * 60 * chosen.minutes, 60 * chosen.minutes + 120)
    photograph("train")
    _wait(lambda: train.state != "working", 60 * chosen.minutes + 120)

    predict = show_panel(viewer, "predict")
    _wait(lambda: predict.models.desk.bundle is not None, 30)
    predict.start()
    _finished(predict, 180)
    paint.visible = False
    photograph("predict")

    explain = show_panel(viewer, "explain")
    for layer in viewer.layers:
        layer.visible = layer is image
    explain.whole.click()
    _choose(explain.explainer, "gradient")
    _wait(lambda: explain.models.desk.bundle is not None, 30)
    explain.start()
    _finished(explain, 120)
    photograph("explain")
    photograph("workspace")
    explain.trust.button.click()
    _finished(explain, 300)
    photograph("trust")

    export = show_panel(viewer, "export")
    QTest.qWait(300)
    export.path.setText("em_U-Net.tif")
    photograph("export")
    viewer.close()


def _choose(chooser: Any, name: str) -> None:
    """Choose an entry as a user does: the chooser alone is silent."""
    chooser.choose(name)
    chooser.chosen.emit(name)


def _go_to(viewer: napari.Viewer, index: int) -> None:
    viewer.dims.set_current_step(0, index)


def _wait(ready: Callable[[], bool], seconds: float) -> None:
    for _ in range(int(seconds * 10)):
        if ready():
            return
        QTest.qWait(100)
    raise TimeoutError(f"nothing came of it in {seconds:.0f} s")


def _finished(panel: Any, seconds: float) -> None:
    """Wait until a panel has done its work, or say what it says instead."""
    _wait(lambda: panel.state != "working", seconds)
    if panel.state != "done":
        raise RuntimeError(f"{panel.title}: {panel.message.text()}")


def _pixels_of(widget: QWidget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    raw = image.constBits()
    if hasattr(raw, "setsize"):
        raw.setsize(image.bytesPerLine() * image.height())
    rows = np.frombuffer(raw, np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return np.ascontiguousarray(rows[:, : image.width(), 2::-1])


def _save(picture: np.ndarray, path: Path) -> None:
    """Write a PNG small enough for a repository: 256 colours chosen for the picture."""
    from PIL import Image

    Image.fromarray(picture[..., :3]).quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
