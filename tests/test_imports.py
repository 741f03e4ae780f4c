"""Nothing slow is loaded before it is needed."""

import subprocess
import sys

import pytest

SLOW = ("torch", "sklearn", "scipy", "skimage", "matplotlib", "cv2", "captum", "napari", "qtpy", "pandas", "dask", "zarr")


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(','.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(outcome.stdout.splitlines()[-1].split(","))


@pytest.mark.parametrize(
    "code",
    [
        "import napari_segtool",
        "import napari_segtool; napari_segtool.Stack, napari_segtool.segment, napari_segtool.train",
        "from napari_segtool.cli._app import run; run(['--help'])",
        "from napari_segtool.cli._app import run; run(['segment', 'otsu', '--help'])",
        "from napari_segtool.core import registry as r; [list(x) for x in (r.METHODS, r.FILTERS, r.LEARNERS, r.NETWORKS, r.EXPLAINERS, r.METRICS, r.SAMPLES)]",
    ],
)
def test_no_slow_library_is_loaded(code):
    assert not loaded_after(code) & set(SLOW)


def test_verbs_stay_verbs_after_the_folders_of_the_same_name_were_imported():
    code = "import napari_segtool.explain._layers, napari_segtool.evaluate.isbi; import napari_segtool as s; print(callable(s.explain), callable(s.evaluate))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert outcome.stdout.split() == ["True", "True"]


def test_every_public_name_is_there():
    import napari_segtool

    assert all(getattr(napari_segtool, name) is not None for name in napari_segtool.__all__)
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = napari_segtool.nothing_of_ours
