"""Work in a process of its own."""

from __future__ import annotations

import gc
import math
import operator
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool.core.apart import Apart
from napari_segtool.core.errors import AxesError, SegtoolError
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._volumes import depth_axis


def result_of(work: Generator[float, None, Any]) -> Any:
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


def test_arrays_of_megabytes_come_back_as_the_same_function_makes_them_here() -> None:
    values = np.random.default_rng(0).normal(size=(700, 1100)).astype(np.float32)
    with Apart() as apart:
        assert np.array_equal(result_of(apart.steps(np.linalg.norm, values, None, 1)), np.linalg.norm(values, None, 1))
        assert np.array_equal(result_of(apart.steps(np.transpose, values)), values.T)


def test_one_process_does_one_piece_after_another() -> None:
    with Apart() as apart:
        first, second = (result_of(apart.steps(os.getpid)) for _ in range(2))
    assert first == second != os.getpid()


def test_an_error_comes_back_as_itself_and_says_where_it_was_and_the_process_goes_on() -> None:
    with Apart() as apart:
        before = result_of(apart.steps(os.getpid))
        with pytest.raises(ZeroDivisionError) as caught:
            result_of(apart.steps(operator.truediv, 1, 0))
        assert "In a process of its own" in "".join(caught.value.__notes__)
        with pytest.raises(AxesError, match="no slices") as told:
            result_of(apart.steps(depth_axis, Stack(np.zeros((2, 2)), "YX")))
        assert told.value.hint == "Switch the volume off."
        assert result_of(apart.steps(os.getpid)) == before


def test_an_argument_that_cannot_be_sent_is_an_error_of_the_caller() -> None:
    with Apart() as apart, pytest.raises((TypeError, AttributeError), match=r"pickle"):
        result_of(apart.steps(operator.not_, threading.Lock()))


def test_a_closed_step_ends_the_process_within_half_a_second_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    apart = Apart()
    child = result_of(apart.steps(os.getpid))
    threads = threading.active_count()
    work = apart.steps(time.sleep, 60)
    next(work)
    begun = time.monotonic()
    work.close()
    assert time.monotonic() - begun < 0.5
    gc.collect()
    assert threading.active_count() == threads
    assert not list(tmp_path.iterdir())
    if sys.platform != "win32":
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert result_of(apart.steps(math.comb, 5, 2)) == 10  # in another process
    apart.close()


def test_a_process_can_be_left_while_it_is_still_starting() -> None:
    with Apart() as apart:
        work = apart.steps(time.sleep, 60)
        next(work)
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.5


def test_it_yields_several_times_a_second_and_other_threads_go_on_meanwhile() -> None:
    with Apart() as apart:
        result_of(apart.steps(os.getpid))
        begun, times = time.monotonic(), []
        for _ in apart.steps(time.sleep, 1.0):
            times.append(time.monotonic() - begun)
    assert len(times) >= 4
    assert max(np.diff(times)) < 0.5


def test_a_process_that_dies_is_told_of_and_the_next_piece_of_work_gets_a_new_one() -> None:
    with Apart() as apart:
        with pytest.raises(SegtoolError, match="code 7"):
            result_of(apart.steps(os._exit, 7))
        assert result_of(apart.steps(math.comb, 5, 2)) == 10


def test_where_there_is_no_python_to_start_the_work_is_done_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for executable in ("", str(Path(sys.executable).parent / "no such program")):
        monkeypatch.setattr(sys, "executable", executable)
        assert result_of(Apart().steps(os.getpid)) == os.getpid()
    monkeypatch.setattr(sys, "executable", sys.executable)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a program that takes Python's arguments")
def test_a_program_that_is_no_python_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    with Apart() as apart:
        assert result_of(apart.steps(os.getpid)) == os.getpid()


def test_the_main_module_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "print('started')\n"
        "import math\n"
        "from napari_segtool.core.apart import Apart\n"
        "with Apart() as apart:\n"
        "    work = apart.steps(math.comb, 5, 2)\n"
        "    try:\n"
        "        while True:\n"
        "            next(work)\n"
        "    except StopIteration as stop:\n"
        "        print(stop.value)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == ["started", "10"]


def test_a_program_that_ends_in_the_middle_takes_the_process_with_it(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import os, time\n"
        "from napari_segtool.core.apart import Apart\n"
        "apart = Apart()\n"
        "first = apart.steps(os.getpid)\n"
        "try:\n"
        "    while True:\n"
        "        next(first)\n"
        "except StopIteration as stop:\n"
        "    print(stop.value)\n"
        "work = apart.steps(time.sleep, 60)\n"
        "next(work)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=30)
    if sys.platform != "win32":
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and Path(f"/proc/{done.stdout.strip()}").exists():
            time.sleep(0.05)
        with pytest.raises(ProcessLookupError):
            os.kill(int(done.stdout), 0)
