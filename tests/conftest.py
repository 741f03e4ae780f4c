"""Settings every test shares: no test reads or writes the developer's own settings."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

_HOME = Path(tempfile.mkdtemp(prefix="segtool-tests-"))
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari.yaml")  # make_napari_viewer overwrites the settings it finds
os.environ["SEGTOOL_CONFIG"] = str(_HOME / "segtool.json")
os.environ["SEGTOOL_RUNS_FOLDER"] = str(_HOME / "runs")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DATA = Path(os.environ.get("SEGTOOL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the real data sets, which lie beside the checkout and are never shipped."""
    if not (DATA / "README.md").is_file():
        pytest.skip(f"the real data sets are not here ({DATA}); set SEGTOOL_TEST_DATA to their folder")
    return DATA
