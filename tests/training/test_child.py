"""The training process: killed, interrupted, or asked to end, its run goes on to the same model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool.core.progress import drain
from napari_segtool.training.runs._run import Run, open_run
from tests.training.blobs import kinds, tiny_run, train, weights_of


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "napari_segtool.training._child", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(run: Run, child: subprocess.Popen[str], kind: str, count: int = 1) -> None:
    """Wait until the run has said something so many times."""
    deadline = time.monotonic() + 100
    while kinds(run).count(kind) < count:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, kinds(run)
        time.sleep(0.02)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_process_killed_in_the_middle_is_resumed_to_the_model_it_would_have_made(tmp_path: Path) -> None:
    whole, killed = tiny_run(tmp_path / "whole", steps=60, patch_px=64), tiny_run(tmp_path / "killed", steps=60, patch_px=64)
    child = start(killed.folder, "--threads", "1")
    try:
        wait_for(killed, child, "validation", 4)
        assert killed.state == "training"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert killed.state == "interrupted"
    drain(train(open_run(killed.folder)))
    drain(train(whole))
    assert killed.state == "done"
    first, second = weights_of(whole), weights_of(killed)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert [event["resumed"] for event in killed.events()[0] if event["kind"] == "start"] == [False, True]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_saves_its_state_and_says_130(tmp_path: Path, number: signal.Signals) -> None:
    run = tiny_run(tmp_path / "run", steps=100000, patch_px=64)
    child = start(run.folder)
    wait_for(run, child, "step")
    child.send_signal(number)
    begun = time.monotonic()
    _, complaint = child.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert child.returncode == 130
    assert "Traceback" not in complaint
    assert kinds(run)[-1] == "cancelled"
    assert list((run.folder / "checkpoints").glob("*.json"))


def test_stop_from_another_process_keeps_the_best_and_exits_with_0(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=100000, patch_px=64)
    child = start(run.folder, "--nice", "1")
    wait_for(run, child, "step")
    run.request("stop")
    out, complaint = child.communicate(timeout=60)
    assert (child.returncode, out, complaint) == (0, "", "")
    assert kinds(run)[-1] == "stopped"
    assert (run.folder / "model" / "model.json").is_file()


def test_a_folder_that_is_no_run_exits_with_2_and_one_message(tmp_path: Path) -> None:
    child = start(tmp_path)
    _, complaint = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "not a run" in complaint
    assert "Traceback" not in complaint


def test_the_process_waits_passively(tmp_path: Path) -> None:
    code = """
import os, runpy, sys
sys.argv = ["x", "/nonexistent"]
try:
    runpy.run_module("napari_segtool.training._child", run_name="__main__")
except SystemExit:
    print(os.environ["OMP_WAIT_POLICY"])
"""
    environment: dict[str, Any] = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "PASSIVE"
