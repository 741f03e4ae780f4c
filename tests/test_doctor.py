"""The doctor says what is installed and what is odd about a file, in words a user can act on."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_segtool import doctor
from napari_segtool.core.result import Step
from napari_segtool.core.stack import Stack
from napari_segtool.doctor import Finding, examine, examine_file
from napari_segtool.io._write import write_image


def said(findings: tuple[Finding, ...], level: str = "") -> str:
    return "\n".join(f"{finding.message} {finding.hint}" for finding in findings if level in ("", finding.level))


def grey(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def save(folder: Path, data: np.ndarray, **way: object) -> Path:
    tifffile.imwrite(folder / "a.tif", data, photometric=way.pop("photometric", "minisblack"), **way)
    return folder / "a.tif"


def test_the_environment_is_described_with_versions_cores_and_memory() -> None:
    findings = {finding.subject: finding for finding in examine(gpu=False)}
    assert {"napari-segtool", "libraries", "Qt", "processor", "memory", "settings"} <= set(findings)
    assert f"numpy {np.__version__}" in findings["libraries"].message
    assert f"torch {metadata.version('torch')}" in findings["libraries"].message
    assert "GiB" in findings["memory"].message


def test_torch_is_loaded_only_to_ask_for_a_gpu() -> None:
    code = (
        "import sys, napari_segtool.doctor as d; d.examine(gpu=False); print('torch' in sys.modules); "
        "print([f.level for f in d.examine() if f.subject == 'GPU'])"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "False"
    assert lines[1] in ("['note']", "['ok']")


def test_what_is_missing_is_a_problem_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without_some(name: str) -> str:
        if name in ("torch", *doctor._QT):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_some)
    findings = examine(gpu=False)
    assert "Not installed: torch" in said(findings, "problem")
    assert "window cannot open" in said(findings, "warning")
    assert "pip install" in said(findings, "warning")


def test_damaged_settings_are_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "settings.json"))
    assert "settings.json" in said(examine(gpu=False), "problem")


def test_a_sound_calibrated_stack_gets_no_warning(tmp_path: Path) -> None:
    write_image(Stack(grey((4, 20, 30)), "ZYX", (0.05, 0.004, 0.004)), tmp_path / "a.tif", history=(Step("filter:gaussian", {}, "0.1.0", ""),))
    findings = examine_file(tmp_path / "a.tif")
    assert not said(findings, "warning")
    assert not said(findings, "problem")
    assert "ZYX, 4 × 20 × 30, uint8, spacing 0.05 × 0.004 × 0.004 µm" in said(findings, "ok")
    assert "values from 0 to 249" in said(findings, "ok")
    assert "filter:gaussian" in said(findings, "note")


def test_pages_of_unknown_meaning_come_with_the_axes_to_give(tmp_path: Path) -> None:
    warning = said(examine_file(save(tmp_path, grey((5, 20, 30)))), "warning")
    assert "5 pages of unknown meaning" in warning
    assert "--axes ZYX" in warning
    assert "--spacing 0.05,0.004,0.004" in warning


def test_a_size_without_depth_is_reported_with_what_was_found(tmp_path: Path) -> None:
    path = save(tmp_path, grey((5, 20, 30)), imagej=True, resolution=(250, 250), metadata={"axes": "ZYX", "unit": "um"})
    warning = said(examine_file(path), "warning")
    assert "ImageJ gives the size of a pixel" in warning
    assert "not along Z" in warning
    assert "--spacing 0.05,0.004,0.004" in warning


@pytest.mark.parametrize(
    ("data", "level", "words"),
    [
        (np.where(np.arange(400).reshape(20, 20) < 8, np.nan, 1.5).astype("float32") * np.arange(20), "warning", "8 values (2 %)"),
        (np.full((20, 20), np.nan, np.float32), "problem", "No value is a number"),
        (np.full((20, 20), 7, np.uint8), "warning", "Every pixel is 7"),
        (grey((20, 20), "uint16") // 5 + 200, "note", "50 of 65536 grey values"),
        (np.eye(20, dtype=np.uint8) * 255, "note", "only the values 0, 255"),
    ],
)
def test_odd_values_are_pointed_out(tmp_path: Path, data: np.ndarray, level: str, words: str) -> None:
    assert words in said(examine_file(save(tmp_path, data)), level)


def test_grey_stored_as_colour_is_told_from_colour(tmp_path: Path) -> None:
    plane = grey((20, 30, 1))
    assert "grey image stored as RGB" in said(examine_file(save(tmp_path, plane.repeat(3, 2), photometric="rgb")), "note")
    assert "grey image" not in said(examine_file(save(tmp_path, grey((20, 30, 3)), photometric="rgb")))
    tifffile.imwrite(tmp_path / "planar.tif", plane.transpose(2, 0, 1).repeat(3, 0), photometric="rgb", planarconfig="separate")
    assert "grey image stored as RGB" in said(examine_file(tmp_path / "planar.tif"), "note")


def test_several_images_and_pyramids_are_mentioned(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(grey((8, 9)), photometric="minisblack")
        writer.write(grey((30, 40)), photometric="minisblack")
    assert "holds 2 images; only the first (8×9) is read. The others: 30×40" in said(examine_file(tmp_path / "two.tif"), "warning")
    with tifffile.TiffWriter(tmp_path / "levels.ome.tif", ome=True) as writer:
        writer.write(grey((64, 64)), subifds=1, photometric="minisblack")
        writer.write(grey((32, 32)), subfiletype=1, photometric="minisblack")
    assert "2 resolutions" in said(examine_file(tmp_path / "levels.ome.tif"), "note")


def test_a_slice_missing_from_a_folder_is_noticed(tmp_path: Path) -> None:
    for number in (8, 9, 11, 12):
        tifffile.imwrite(tmp_path / f"z{number}.tif", grey((8, 9)))
    assert "1 number(s) are missing between 8 and 12: 10." in said(examine_file(tmp_path), "warning")


def test_files_that_cannot_be_read_are_problems_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    good = save(tmp_path, grey((20, 30)))
    findings = examine([tmp_path / "empty.tif", tmp_path / "missing.tif", good], gpu=False)
    problems = [finding for finding in findings if finding.level == "problem"]
    assert [finding.subject for finding in problems] == ["empty.tif", "missing.tif"]
    assert all(finding.hint for finding in problems)
    assert findings[-1].subject == "a.tif"


@pytest.mark.data
def test_real_awkward_files_get_the_remark_they_deserve(data_folder: Path) -> None:
    expected = {
        "derived/em_float32_nan_inf.tif": "not numbers or infinite",
        "derived/constant_zero.tif": "Every pixel is 0",
        "derived/em_lowrange_u16.tif": "of 65536 grey values",
        "derived/us_stored_as_rgb.tif": "grey image stored as RGB",
        "derived/em_bigtiff.tif": "pages of unknown meaning",
        "em_vendor/olympus_SIS.tif": "holds 2 images",
        "derived/vnc_pyramid.ome.tif": "3 resolutions",
        "derived/truncated.tif": "cut off",
        "mrc/EMD-3197.map": "MRC",
    }
    for name, words in expected.items():
        assert words in said(examine_file(data_folder / "awkward_files" / name)), name
