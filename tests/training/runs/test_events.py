"""Events: whole lines only, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from napari_segtool.training.runs._events import EventLog, read_events, write_atomically


def test_events_come_back_in_order_and_from_where_one_left_off(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.write("start", step=0)
    first, offset = read_events(tmp_path / "events.jsonl")
    log.write("step", step=1, loss=0.5)
    second, _ = read_events(tmp_path / "events.jsonl", offset)
    assert [event["kind"] for event in first + second] == ["start", "step"]
    assert second[0]["loss"] == 0.5
    assert second[0]["time"] > 1e9


def test_no_file_is_no_event(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl") == ((), 0)


def test_a_line_still_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "start"}\n{"kind": "st')
    events, offset = read_events(path)
    assert len(events) == 1
    with path.open("a") as file:
        file.write('ep"}\n')
    assert read_events(path, offset)[0][0]["kind"] == "step"


def test_a_line_torn_by_a_kill_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "start"}\n{"kind": "st')
    EventLog(path).write("message", text="after")
    assert [event["kind"] for event in read_events(path)[0]] == ["start", "message"]


def test_numbers_json_cannot_hold_become_null(tmp_path: Path) -> None:
    EventLog(tmp_path / "e").write("validation", dice=math.nan, classes={"a": math.inf, "b": [1.0, math.nan]})
    record = json.loads((tmp_path / "e").read_text())
    assert record["dice"] is None
    assert record["classes"] == {"a": None, "b": [1.0, None]}


def test_a_disk_that_is_full_loses_events_and_not_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "e")

    def full(*_args: Any, **_more: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    log.write("step", step=1)
    monkeypatch.undo()
    log.write("step", step=2)
    assert log.lost == 1
    assert [event["step"] for event in read_events(tmp_path / "e")[0]] == [2]


def test_an_atomic_write_that_fails_leaves_the_file_before_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
