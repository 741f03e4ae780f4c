"""How long importing the package and opening each panel takes, each in a fresh process, and that no torch is loaded by it.

``python benchmarks/opening.py [--rounds 3]``, on a screen or under ``xvfb-run``. Targets: the import below 0.1 s, each panel below 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile

IMPORT = "import time; t = time.perf_counter(); import napari_segtool; print(time.perf_counter() - t)"
OPEN = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import napari, numpy as np, qtpy
from qtpy.QtWidgets import QApplication
from napari._app_model import get_app_model
viewer = napari.Viewer(show=True)
viewer.add_image(np.zeros((20, 512, 512), np.uint8))
command = get_app_model().commands
[QApplication.processEvents() for _ in range(20)]
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


def main() -> None:
    """Measure and print the best of some rounds after a first that compiles, as other programs share the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    imports = [float(_run(IMPORT)) for _ in range(rounds + 1)][1:]
    print(f"import napari_segtool   {min(imports):.3f} s (best of {rounds}), target 0.1 s")
    from napari_segtool.ui.workspace import PANELS

    for entry in PANELS:
        answers = [json.loads(_run(OPEN, entry.name)) for _ in range(rounds + 1)][1:]
        best = min(answers, key=lambda answer: answer["seconds"])
        assert "torch" not in best["heavy"], f"opening {entry.title} loads torch"
        verdict = "" if best["seconds"] < 0.3 else "  MISSED"
        busy = min(answer["busy"] for answer in answers)
        loaded = ", ".join(best["heavy"]) or "nothing heavy"
        print(f"open {entry.title:<18} {best['seconds']:.3f} s (of it work {busy:.3f} s), target 0.3 s{verdict}   loaded: {loaded}   ({best['qt']})")


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
