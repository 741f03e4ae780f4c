"""Long work beside the window: what is promised about threads, cancelling, errors and stale answers. No viewer is needed."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import Progress
from napari_segtool.ui._jobs import Job, LatestJob, TimeLeft
from napari_segtool.ui._process import ProcessJob, child_environment


class Heard:
    """Notes the signals of a job, and on which thread they came."""

    def __init__(self, job):
        self.events, self.threads = [], set()
        job.progressed.connect(self._progressed)
        job.returned.connect(self._returned)
        job.failed.connect(self._failed)
        job.cancelled.connect(self._cancelled)
        job.finished.connect(self._finished)

    def _note(self, *event):
        self.events.append(event)
        self.threads.add(threading.current_thread())

    def _progressed(self, progress):
        self._note("progressed", progress)

    def _returned(self, value):
        self._note("returned", value)

    def _failed(self, error):
        self._note("failed", error)

    def _cancelled(self):
        self._note("cancelled")

    def _finished(self):
        self._note("finished")

    @property
    def kinds(self):
        return [event[0] for event in self.events if event[0] != "progressed"]


def steps_of(count, result="done", pause_s=0.0):
    for done in range(1, count + 1):
        time.sleep(pause_s)
        yield Progress(done, count, "step")
    return result


def test_the_result_is_delivered_on_the_gui_thread_and_the_work_is_done_on_another(qtbot):
    workers = []

    def work():
        workers.append(threading.current_thread())
        yield Progress(1, 1)
        return "done"

    job = Job(work)
    heard = Heard(job)
    with qtbot.waitSignal(job.finished, timeout=3000):
        job.start()
    assert heard.kinds == ["returned", "finished"]
    assert ("returned", "done") in heard.events
    assert heard.threads == {threading.main_thread()}
    assert workers[0] is not threading.main_thread()
    assert not job.running


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), DataError("empty"), StopIteration("odd"), SystemExit(3), MemoryError()])
def test_every_exception_is_reported_even_those_that_generator_workers_swallow(qtbot, error):
    def work():
        yield Progress(1, 2)
        raise error

    job = Job(work)
    heard = Heard(job)
    with qtbot.waitSignal(job.finished, timeout=3000):
        job.start()
    assert heard.kinds == ["failed", "finished"]
    raised = dict(event for event in heard.events if event[0] == "failed")["failed"]
    # Python itself turns a StopIteration that leaves a generator into a RuntimeError.
    assert raised is error or raised.__cause__ is error


def test_an_error_before_the_first_step_is_reported_too(qtbot):
    def work():
        raise RuntimeError("no such method")

    job = Job(work)
    heard = Heard(job)
    with qtbot.waitSignal(job.finished, timeout=3000):
        job.start()
    assert heard.kinds == ["failed", "finished"]


def test_cancel_closes_the_generator_in_its_own_thread_and_delivers_no_result(qtbot):
    closed_in = []

    def work():
        try:
            yield from steps_of(10_000, pause_s=0.005)
        finally:
            closed_in.append(threading.current_thread())
        return "too late"

    job = Job(work)
    heard = Heard(job)
    job.start()
    qtbot.waitUntil(lambda: len(heard.events) > 0, timeout=3000)
    with qtbot.waitSignal(job.finished, timeout=1000):
        job.cancel()
    assert heard.kinds == ["cancelled", "finished"]
    assert job.wait(1.0)
    assert closed_in
    assert closed_in[0] is not threading.main_thread()


def test_cancel_is_answered_within_a_second_even_inside_a_long_step(qtbot):
    release = threading.Event()

    def work():
        yield Progress(0, 2)
        release.wait(10)
        yield Progress(1, 2)
        return "too late"

    job = Job(work)
    heard = Heard(job)
    job.start()
    qtbot.waitUntil(lambda: len(heard.events) > 0, timeout=3000)
    begun = time.monotonic()
    with qtbot.waitSignal(job.finished, timeout=2000):
        job.cancel()
    assert time.monotonic() - begun < 1.0
    release.set()
    assert job.wait(3.0)
    qtbot.wait(50)
    assert heard.kinds == ["cancelled", "finished"]


def test_nothing_keeps_the_result_or_the_input_alive_afterwards(qtbot):
    class Volume:
        pass

    volume, result = Volume(), Volume()
    seen = weakref.ref(volume), weakref.ref(result)

    def work(volume=volume, result=result):
        yield Progress(1, 1)
        return result

    job = Job(work)
    with qtbot.waitSignal(job.finished, timeout=3000):
        job.start()
    job.wait(2.0)
    del volume, result, work
    gc.collect()
    assert [ref() for ref in seen] == [None, None]


def test_a_newer_preview_request_wins_and_no_stale_answer_is_ever_delivered(qtbot):
    latest = LatestJob()
    asked, answers, stale = [0], [], []

    def take(value):
        answers.append(value)
        if value != asked[0]:
            stale.append((value, asked[0]))

    latest.returned.connect(take)

    def ask(number):
        asked[0] = number

        def work():
            yield Progress(0, 1)
            time.sleep(0.004 * (number % 5))
            return number

        latest.submit(work)

    for number in range(1, 61):
        ask(number)
        qtbot.wait(number % 7)
    qtbot.waitUntil(lambda: not latest.busy, timeout=3000)
    assert answers[-1] == 60
    assert stale == []


def test_an_answer_that_was_ready_but_not_yet_delivered_is_dropped_when_something_newer_is_asked(qtbot):
    latest = LatestJob()
    answers = []
    latest.returned.connect(answers.append)
    first = threading.Event()

    def old():
        first.set()
        return "old"
        yield

    latest.submit(old)
    assert first.wait(2)
    latest.wait(2)  # the old answer now waits in the event queue
    latest.submit(lambda: steps_of(1, "new"))
    qtbot.waitUntil(lambda: not latest.busy, timeout=3000)
    assert answers == ["new"]


def test_cancelled_previews_are_not_answered_and_errors_of_stale_ones_are_not_shown(qtbot):
    latest = LatestJob()
    answers, errors = [], []
    latest.returned.connect(answers.append)
    latest.failed.connect(errors.append)

    def fails():
        time.sleep(0.05)
        raise RuntimeError("stale")
        yield

    latest.submit(fails)
    latest.cancel()
    latest.submit(fails)
    latest.submit(lambda: steps_of(1, "kept"))
    qtbot.waitUntil(lambda: not latest.busy, timeout=3000)
    assert (answers, errors) == (["kept"], [])
    latest.submit(fails)
    qtbot.waitUntil(lambda: not latest.busy, timeout=3000)
    assert [str(error) for error in errors] == ["stale"]


def test_time_left_is_what_the_pace_so_far_says():
    now = [0.0]
    clock = TimeLeft(lambda: now[0])
    assert clock.seconds_left != clock.seconds_left
    clock.note(Progress(0, 10))
    now[0] = 4.0
    clock.note(Progress(2, 10))
    assert clock.seconds_left == pytest.approx(16.0)  # 2 of 10 took 4 s, so 8 more take 16 s


CHILD = "echo"


@pytest.fixture
def child_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "worker_scripts"))


def test_a_child_answers_line_by_line_with_the_quiet_environment_and_a_lower_priority(qtbot, child_path):
    child = ProcessJob(CHILD, ["report"], threads=2)
    lines = []
    child.line.connect(lines.append)
    with qtbot.waitSignal(child.exited, timeout=10000) as exited:
        child.start()
        child.write("hello")
    assert exited.args == [0]
    assert lines[0] == "threads 2 PASSIVE"
    assert lines[-1] == "echo hello"
    if hasattr(__import__("os"), "getpriority"):
        assert int(lines[1].split()[1]) >= 10
    assert child_environment(2)["OMP_NUM_THREADS"] == "2"


def test_a_child_that_floods_its_pipes_and_ignores_being_asked_is_still_ended(qtbot, child_path):
    child = ProcessJob(CHILD, ["stubborn"])
    lines = []
    child.line.connect(lines.append)
    child.start()
    qtbot.waitUntil(lambda: len(lines) > 2000, timeout=10000)
    begun = time.monotonic()
    with qtbot.waitSignal(child.exited, timeout=5000) as exited:
        child.stop(grace_s=0.4)
    assert time.monotonic() - begun < 3.0
    assert exited.args[0] != 0
    assert not child.running
    assert "complaint" in child.errors


def test_a_child_that_dies_says_so_with_its_last_words(qtbot, child_path):
    child = ProcessJob(CHILD, ["die"])
    with qtbot.waitSignal(child.exited, timeout=10000) as exited:
        child.start()
    assert exited.args[0] not in (0, None)
    assert "ran out of memory" in child.errors
    assert not child.write("anybody there?")


def test_python_is_what_children_are_run_with():
    assert ProcessJob("json.tool")._command[0] == sys.executable


def test_a_patient_request_lets_the_running_one_be_answered_first_but_not_for_longer_than_it_said(qtbot):
    latest = LatestJob()
    answers = []
    latest.returned.connect(answers.append)
    latest.submit(lambda: steps_of(3, "quick", pause_s=0.02))
    latest.submit(lambda: steps_of(1, "replaced"), patience_s=1.0)
    latest.submit(lambda: steps_of(1, "newest"), patience_s=1.0)
    qtbot.waitUntil(lambda: not latest.busy, timeout=3000)
    assert answers == ["quick", "newest"]

    latest.submit(lambda: steps_of(1000, "slow", pause_s=0.005))
    latest.submit(lambda: steps_of(1, "impatient"), patience_s=0.1)
    begun = time.monotonic()
    qtbot.waitUntil(lambda: not latest.busy, timeout=3000)
    assert answers[2:] == ["impatient"]
    assert time.monotonic() - begun < 1.0
