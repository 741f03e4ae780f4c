"""What is left of a training for tables, TensorBoard and comparison."""

from __future__ import annotations

import csv
import itertools
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

import napari_segtool.api as api
from napari_segtool.cli._app import run as segtool
from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import drain
from napari_segtool.training.runs._curves import CurveFiles
from napari_segtool.training.runs._events import EventLog
from napari_segtool.training.runs._tensorboard import TensorboardFile, crc32c, framed
from tests.training.blobs import kinds, messages, tiny_run, train


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def records_of(path: Path) -> list[bytes]:
    """Data of every record, by the lengths in the file alone."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def fields_of(data: bytes) -> list[tuple[int, Any]]:
    """Number and content of every field of a protocol-buffer message, whatever it means."""
    found, place = [], 0
    while place < len(data):
        key, place = varint(data, place)
        if key & 7 == 0:
            value, place = varint(data, place)
        elif key & 7 == 1:
            value, place = struct.unpack("<d", data[place : place + 8])[0], place + 8
        elif key & 7 == 5:
            value, place = struct.unpack("<f", data[place : place + 4])[0], place + 4
        else:
            size, place = varint(data, place)
            value, place = data[place : place + size], place + size
        found.append((key >> 3, value))
    return found


def test_the_table_holds_what_the_events_say(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=6)
    drain(train(run))
    events, rows = run.events()[0], table_of(run.folder)
    checks = [event for event in events if event["kind"] == "validation"]
    written = [row for row in rows if row["validation_dice"]]
    assert [int(row["step"]) for row in written] == [event["step"] for event in checks]
    for row, event in zip(written, checks, strict=True):
        assert float(row["validation_loss"]) == event["loss"]
        assert float(row["validation_iou"]) == event["iou"]
        assert float(row["train_dice"]) == event["train_dice"]
        assert float(row["dice of class 1"]) == event["classes"]["class 1"]
        assert bool(int(row["kept"])) == event["kept"]
    assert [float(row["loss"]) for row in rows if row["loss"]] == [event["loss"] for event in events if event["kind"] == "step"]


def test_steps_that_a_resumed_run_does_again_stand_in_the_table_once(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=12)
    steps = train(run)
    for _ in itertools.islice(steps, 30):
        pass
    steps.close()
    for path in (run.folder / "checkpoints").glob("*"):
        path.unlink()  # it has to begin again
    drain(train(run))
    checked = [int(row["step"]) for row in table_of(run.folder) if row["validation_dice"]]
    assert checked == sorted(set(checked))
    assert kinds(run).count("start") == 2
    assert kinds(run).count("validation") > len(checked)


def test_a_disk_that_refuses_the_curves_costs_the_curves_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: CurveFiles, _row: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CurveFiles, "_add", full)
    run = tiny_run(tmp_path / "run", steps=4)
    drain(train(run))
    assert kinds(run)[-1] == "done"
    assert messages(run).count("The curves can no longer be written") == 1


def test_checksums_are_those_of_the_standard() -> None:
    # RFC 3720, B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    record = framed(b"data")
    assert record[:8] == struct.pack("<Q", 4)
    masked = struct.unpack("<I", record[-4:])[0]
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert (turned << 15 | turned >> 17) & 0xFFFFFFFF == crc32c(b"data")


def test_tensorboard_reads_tags_steps_and_values(tmp_path: Path) -> None:
    file = TensorboardFile(tmp_path / "board", 1.7e9, step=300)
    file.add(1.7e9 + 1, 301, {"loss/held out": 0.25, "dice/held out": 0.5})
    version, started, scalars = (dict(fields_of(record)) for record in records_of(file.path))
    assert version == {1: 1.7e9, 3: b"brain.Event:2"}
    assert (started[2], fields_of(started[7])) == (301, [(1, 1)])  # a session that starts: later steps of older files are dropped
    assert (scalars[1], scalars[2]) == (1.7e9 + 1, 301)
    values = [dict(fields_of(value)) for _, value in fields_of(scalars[5])]
    assert values == [{1: b"loss/held out", 2: 0.25}, {1: b"dice/held out", 2: 0.5}]


def test_a_training_leaves_an_event_file(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=4)
    drain(train(run))
    (path,) = (run.folder / "tensorboard").iterdir()
    summaries = [dict(fields_of(record)).get(5) for record in records_of(path)]
    tags = {dict(fields_of(value))[1].decode() for summary in summaries if summary for _, value in fields_of(summary)}
    assert {"loss/step", "loss/held out", "loss/learned", "dice/held out", "dice/learned", "iou/held out", "training/learning rate"} <= tags


def written_run(folder: Path, dices: list[float], **params: Any) -> Path:
    """A run folder with events as a training would have left them."""
    run = tiny_run(folder, **params)
    log = EventLog(run.event_path)
    log.write("start", step=0)
    for number, dice in enumerate(dices, 1):
        log.write("step", step=10 * number, loss=1 / number, learning_rate=0.01, seconds=60.0 * number)
        log.write("validation", step=10 * number, loss=2 / number, dice=dice, iou=dice / 2, classes={"cell": dice}, kept=True, seconds=60.0 * number)
    log.write("done", step=10 * len(dices), seconds=60.0 * len(dices))
    return folder


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Three runs in one folder."""
    folder = tmp_path / "runs"
    return [
        written_run(folder / "first", [0.5, 0.8, 0.7]),
        written_run(folder / "second", [0.6, 0.65], learning_rate=0.01),
        written_run(folder / "third", [math.nan], learning_rate=0.01, optimiser="sgd"),
    ]


def test_several_runs_are_compared_by_what_was_best_and_in_what_they_differ(three: list[Path]) -> None:
    found = api.runs_history(three)
    first, second, third = found.runs
    assert (first.best, first.best_step, first.kept_step, first.steps, first.seconds, first.state) == (0.8, 20, 30, 30, 180.0, "done")
    assert first.curves["validation_dice"] == ((10, 0.5), (20, 0.8), (30, 0.7))
    assert first.curves["loss"][1] == (20, 0.5)
    assert first.curves["dice of cell"][2] == (30, 0.7)
    assert (second.best, second.best_step) == (0.65, 20)
    assert math.isnan(third.best)
    assert found.differing == {"learning_rate": (0.001, 0.01, 0.01), "optimiser": ("auto", "auto", "sgd")}
    assert json.loads(json.dumps(found.record()))["runs"][2]["best"] is None


def test_a_folder_of_runs_stands_for_the_runs_in_it(three: list[Path], tmp_path: Path) -> None:
    assert [run.name for run in api.runs_history([three[0].parent]).runs] == ["first", "second", "third"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is not a run and holds none"):
        api.runs_history([tmp_path / "empty"])


def test_metrics_of_which_less_is_better_are_compared_the_other_way(tmp_path: Path) -> None:
    (run,) = api.runs_history([written_run(tmp_path / "run", [0.9, 0.8], metric="loss")]).runs
    assert (run.metric, run.best, run.best_step) == ("loss", 1.0, 20)


def test_the_metric_that_a_training_says_it_goes_by_counts_where_its_settings_do_not_say(tmp_path: Path) -> None:
    folder = written_run(tmp_path / "run", [0.9, 0.8])
    path = folder / "events.jsonl"
    path.write_text(path.read_text().replace('"kind": "start"', '"kind": "start", "metric": "loss"'))
    (run,) = api.runs_history([folder]).runs
    assert (run.metric, run.best, run.best_step) == ("loss", 1.0, 20)


def test_the_command_line_shows_a_table_json_and_a_picture(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "runs.png"
    assert segtool(["runs", str(three[0].parent), "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["first", "second", "third"]
    assert "Dice 0.8000" in lines[1]
    assert any(line.split() == ["optimiser", "auto", "auto", "sgd"] for line in lines)
    assert picture.stat().st_size > 10_000
    assert segtool(["runs", *map(str, three[:2]), "--json"]) == 0
    assert [run["name"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["first", "second"]
    assert segtool(["runs", str(tmp_path / "absent")]) == 2
    assert "There is no run" in capsys.readouterr().err
