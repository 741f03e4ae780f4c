"""How long importing the package and opening the panels takes, and that no torch is loaded by it.

``python benchmarks/opening.py [--rounds 3]``, on a screen or under ``xvfb-run``. Each panel is opened in a fresh process, from napari's command, with
a stack open; then, in one more process, each once more after it was closed, and at last all at once, as the workspace does.
Targets: the import below 0.1 s, each panel below 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

IMPORT = "import time; t = time.perf_counter(); import napari_segtool; print(time.perf_counter() - t)"
VIEWER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import napari, numpy as np, qtpy
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
viewer.add_image(np.random.default_rng(0).integers(0, 255, (20, 512, 512), np.uint8), name="stack")
[QApplication.processEvents() for _ in range(20)]
"""
OPEN = """
from napari._app_model import get_app_model
command = get_app_model().commands
before = set(sys.modules)
begun, busy = time.perf_counter(), time.thread_time()
command.execute_command(f"napari-segtool.{sys.argv[1]}").result()
QApplication.processEvents()
seconds, busy = time.perf_counter() - begun, time.thread_time() - busy
slow = ("torch", "sklearn", "skimage.measure", "scipy.ndimage", "pandas", "matplotlib", "cv2", "captum", "pyqtgraph")
heavy = [name for name in slow if name in sys.modules and name not in before]
print(json.dumps({"seconds": seconds, "busy": busy, "heavy": heavy, "qt": f"{qtpy.API_NAME} {qtpy.QT_VERSION}"}))
viewer.close()
"""
AGAIN = """
from napari_segtool.ui.workspace import PANELS, open_workspace, show_panel
def timed(work):
    begun = time.perf_counter()
    made = work()
    QApplication.processEvents()
    return time.perf_counter() - begun, made
again = {}
for turn in range(2):
    for entry in PANELS:
        again[entry.title], panel = timed(lambda: show_panel(viewer, entry.name))
        viewer.window.remove_dock_widget(panel.parent())
        QApplication.processEvents()
print(json.dumps({"again": again, "together": timed(lambda: open_workspace(viewer))[0]}))
viewer.close()
"""


def main() -> None:
    """Measure and print the best of some rounds after a first that compiles, as other programs share the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    imports = [float(_run(IMPORT)) for _ in range(rounds + 1)][1:]
    print(f"import napari_segtool   {min(imports):.3f} s (best of {rounds}), target 0.1 s")
    from napari_segtool.ui.workspace import PANELS

    later = [json.loads(_run(VIEWER + AGAIN)) for _ in range(rounds)]
    for entry in PANELS:
        answers: list[dict[str, Any]] = [json.loads(_run(VIEWER + OPEN, entry.name)) for _ in range(rounds + 1)][1:]
        best = min(answers, key=lambda answer: answer["seconds"])
        assert "torch" not in best["heavy"], f"opening {entry.title} loads torch"
        verdict = "" if best["seconds"] < 0.3 else "  MISSED"
        busy, again = min(answer["busy"] for answer in answers), min(one["again"][entry.title] for one in later)
        loaded = ", ".join(best["heavy"]) or "nothing heavy"
        times = f"{best['seconds']:.3f} s (of it work {busy:.3f} s), again {again:.3f} s"
        print(f"open {entry.title:<18} {times}, target 0.3 s{verdict}   loaded: {loaded}   ({best['qt']})", flush=True)
    print(f"all at once             {min(one['together'] for one in later):.3f} s, each already opened before")


def _run(code: str, *arguments: str) -> str:
    home = tempfile.mkdtemp(prefix="segtool-opening-")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # an installed package is compiled
    environment |= {"NAPARI_CONFIG": f"{home}/napari.yaml", "SEGTOOL_CONFIG": f"{home}/s.json", "SEGTOOL_RUNS_FOLDER": f"{home}/runs"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
