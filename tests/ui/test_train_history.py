"""Reading what a training writes: whole lines once each, in order, whatever the moment it is read at."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from napari_segtool.core.errors import StorageError
from napari_segtool.training.runs._lock import sole_trainer
from napari_segtool.ui._train_folder import RunCard, delete_run, fresh_title, list_runs, new_run_folder, note_trainer, read_card, rename_run, trainer_of
from napari_segtool.ui._train_history import EventTail, History, read_history


def line(kind, **facts):
    return json.dumps({"time": 1.0, "kind": kind, **facts}).encode() + b"\n"


def test_half_a_line_is_left_until_its_rest_is_written(tmp_path):
    path = tmp_path / "events.jsonl"
    tail = EventTail(path)
    assert tail.read() == ()
    text = line("step", step=1) + line("step", step=2)
    seen = []
    for end in range(1, len(text) + 1):
        path.write_bytes(text[:end])
        seen += [(event["step"], end) for event in tail.read()]
    assert seen == [(1, len(text) // 2), (2, len(text))]
    assert tail.read() == ()


def test_damaged_lines_and_foreign_records_are_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind": "st\n' + b"[1, 2]\n" + b"\xff\xfe\n" + b'{"kind": 3}\n' + line("step", step=7))
    assert [event["step"] for event in EventTail(path).read()] == [7]


def test_a_resumed_training_takes_back_the_steps_after_its_checkpoint():
    history = History()
    history.take({"kind": "step", "step": step, "loss": 1.0} for step in (1, 2, 3, 4))
    history.take([{"kind": "validation", "step": 3, "loss": 0.5, "dice": 0.7, "kept": True}, {"kind": "failed", "text": "full", "hint": "free"}])
    assert (history.phase, history.text) == ("failed", "full")
    history.take([{"kind": "start", "step": 2, "patch_px": [1, 64, 64], "batch": 4, "device": "cpu", "threads": 1}, {"kind": "step", "step": 3, "loss": 0.9}])
    assert history.phase == "learning"
    assert history.steps == [1, 2, 3]
    assert history.losses == [1.0, 1.0, 0.9]
    assert history.checked == []
    assert history.plan == "2-D patches 64², batch 4, CPU with 1 thread"


def test_the_best_is_the_score_of_the_weights_that_are_kept():
    history = History()
    history.take(
        {"kind": "validation", "step": step, "loss": 1, "dice": dice, "kept": kept} for step, dice, kept in ((1, 0.5, True), (2, 0.90, True), (3, 0.3, False))
    )
    assert (history.best_step, history.best_dice) == (2, 0.90)


def test_a_loss_that_is_no_number_is_kept_as_a_gap():
    history = History()
    history.take([{"kind": "step", "step": 1, "loss": None, "fraction": None, "seconds_left": None}])
    assert math.isnan(history.losses[0])
    assert history.fraction == 0


def run_at(folder, created=1.0, events=b""):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"learner": "unet", "created": created, "classes": [{"value": 1, "name": "cell"}]}))
    (folder / "events.jsonl").write_bytes(events)
    return folder


def test_runs_are_listed_newest_first_with_what_became_of_them(tmp_path):
    run_at(tmp_path / "old", 1.0, line("start", step=0) + line("step", step=5, seconds=9) + line("done", step=6, seconds=10))
    run_at(tmp_path / "cut", 2.0, line("start", step=0) + line("step", step=5))
    run_at(tmp_path / "fresh", 3.0)
    (tmp_path / "no-run").mkdir()
    damaged = run_at(tmp_path / "damaged")
    (damaged / "config.json").write_text("{")
    cards = list_runs(tmp_path)
    assert [(card.title, card.state, card.can_resume) for card in cards] == [("fresh", "new", True), ("cut", "interrupted", True), ("old", "done", False)]
    assert (cards[2].step, cards[2].seconds, cards[2].classes) == (6, 10.0, ("cell",))
    assert list_runs(tmp_path / "nowhere") == ()


def test_a_run_is_renamed_without_moving_its_folder_and_deleted_as_a_whole(tmp_path):
    folder = run_at(tmp_path / "run")
    known = read_card(folder)
    rename_run(folder, " Best of all ")
    assert fresh_title(tmp_path, "Best of all") == "Best of all (2)"
    assert fresh_title(tmp_path, "Another") == "Another"
    assert read_card(folder, known).title == "Best of all"
    delete_run(folder)
    assert not folder.exists()
    assert read_card(folder) is None


def test_new_run_folders_have_plain_names_and_never_collide(tmp_path):
    first = new_run_folder(tmp_path, "zellen µ/α (1).tif", "unet", 0.0)
    first.mkdir()
    second = new_run_folder(tmp_path, "zellen µ/α (1).tif", "unet", 0.0)
    assert first != second
    assert first.name.isascii()
    assert "/" not in first.name


def test_a_process_trains_a_run_only_while_it_lives_and_is_the_one_that_was_noted(tmp_path):
    folder = run_at(tmp_path / "run")
    assert trainer_of(folder) == 0
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        note_trainer(folder, process.pid)
        assert trainer_of(folder) == process.pid
        assert read_card(folder).state == "training"
        with pytest.raises(StorageError, match="being trained"):
            delete_run(folder)
        note = json.loads((folder / "process.json").read_text())
        (folder / "process.json").write_text(json.dumps({**note, "started": note["started"] - 3600}))
        assert trainer_of(folder) == 0, "an hour ago another process had this id"
        (folder / "process.json").write_text("{")
        assert trainer_of(folder) == 0
        note_trainer(folder, process.pid)
    finally:
        process.kill()
        process.wait()
    assert trainer_of(folder) == 0
    assert read_card(folder).state == "new"


def test_a_training_started_from_the_command_line_is_known_by_its_lock(tmp_path):
    folder = run_at(tmp_path / "run", events=line("start", step=0) + line("step", step=1))
    assert read_card(folder).state == "interrupted"
    with sole_trainer(folder):
        assert read_card(folder).state == "training"
    assert read_card(folder).state == "interrupted"


def test_events_of_a_known_run_are_not_read_again_unless_they_changed(tmp_path, monkeypatch):
    folder = run_at(tmp_path / "run", events=line("start", step=0) + line("done", step=3))
    card = read_card(folder)
    monkeypatch.setattr("napari_segtool.ui._train_folder.read_history", None)
    assert read_card(folder, card) == card
    assert isinstance(card, RunCard)


def test_a_long_log_is_read_to_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line("step", step=step, loss=0.5, filler="x" * 900) for step in range(1, 2001)))
    assert read_history(tmp_path).steps == list(range(1, 2001))
