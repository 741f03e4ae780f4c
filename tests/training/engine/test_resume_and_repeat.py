"""Going on with a run elsewhere or for longer, and training it once more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.errors import DeviceError, ModelError, ParameterError, StorageError
from napari_segtool.core.progress import drain
from napari_segtool.training.runs._resume import resume_run
from napari_segtool.training.runs._run import Run, open_run
from tests.training.blobs import kinds, messages, tiny_run, train, weights_of


def trained(folder: Path, steps: int = 6, **more: object) -> Run:
    run = tiny_run(folder, steps=steps, **more)
    drain(train(run))
    return run


def starts(run: Run) -> list[int]:
    return [event["step"] for event in run.events()[0] if event["kind"] == "start"]


def same_weights(first: Run, second: Run) -> bool:
    ours, theirs = weights_of(first), weights_of(second)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_finished_run_goes_on_from_its_last_step_with_a_larger_budget(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    before = weights_of(run)
    bundle = api.train([], "unet", run=run.folder, labels_are="mask", steps=14, resume=True)
    assert bundle.card["trained"]["steps"] in range(7, 15)
    assert starts(run) == [0, 6]
    assert any(not np.array_equal(before[name], value) for name, value in weights_of(run).items())
    assert open_run(run.folder).steps == 14
    assert open_run(run.folder).recipe.params["steps"] == 14
    assert "14 steps now, instead of 6 steps" in messages(run)
    assert kinds(run)[-1] == "done"


def test_the_larger_budget_is_kept_by_a_run_that_is_cancelled_on_its_way(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    resume_run(run.folder, steps=9)
    drain(train(open_run(run.folder)))
    assert [event["step"] for event in run.events()[0] if event["kind"] == "done"] == [6, 9]


def test_a_finished_run_without_a_larger_budget_stays_as_it_is(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    before = (run.folder / "model" / "weights.safetensors").stat().st_mtime_ns
    for steps in (0, 6):
        api.train([], "unet", run=run.folder, labels_are="mask", steps=steps, resume=True)
    assert (run.folder / "model" / "weights.safetensors").stat().st_mtime_ns == before
    assert "With a larger budget it goes on" in messages(run)


REFUSED = [
    ({"steps": 3}, "6 steps"),
    ({"depth": 5}, "depth"),
    ({"seed": 3}, "seed 0"),
    ({"model": "elsewhere"}, "model"),
    ({"nonsense": 1}, "nonsense"),
]


@pytest.mark.parametrize(("asked", "told"), REFUSED)
def test_what_a_run_cannot_change_is_refused_and_leaves_it(tmp_path: Path, asked: dict[str, object], told: str) -> None:
    run = trained(tmp_path / "run")
    before = (run.folder / "config.json").read_bytes()
    with pytest.raises(ParameterError, match=told):
        api.train([], "unet", run=run.folder, labels_are="mask", resume=True, **asked)  # type: ignore[arg-type]
    assert (run.folder / "config.json").read_bytes() == before


def test_settings_it_began_with_may_be_given_again(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=4, seed=5)
    api.train([], "unet", run=run.folder, labels_are="mask", resume=True, seed=5, steps=4, base_channels=run.config["params"]["base_channels"])
    assert kinds(run)[-1] == "done"


def set_device(run: Run, device: str) -> None:
    (run.folder / "config.json").write_text(json.dumps({**run.config, "device": device}))


def test_a_run_begun_on_a_gpu_goes_on_where_there_is_none_but_none_begins_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    begun, new = trained(tmp_path / "begun"), tiny_run(tmp_path / "new")
    for run in (begun, new):
        set_device(run, "cuda:1")
    drain(train(resume_run(begun.folder, steps=9)))
    assert starts(begun) == [0, 6]
    assert "It goes on on this machine's" in messages(begun)
    with pytest.raises(DeviceError, match="cuda:1"):
        drain(train(open_run(new.folder)))


def test_another_device_and_number_of_threads_are_kept_in_the_folder(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    set_device(run, "cuda")
    assert resume_run(run.folder).config["device"] == "cuda"
    resume_run(run.folder, device="cpu", threads=2)
    assert (open_run(run.folder).config["device"], open_run(run.folder).config["threads"]) == ("cpu", 2)


def test_a_run_that_is_repeated_gives_the_same_weights_to_the_last_bit(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", seed=3, dropout=0.2)
    bundle = api.repeat(run.folder, run=tmp_path / "again")
    again = open_run(tmp_path / "again")
    assert same_weights(run, again)
    assert bundle.card["recipe"] == json.loads((run.folder / "model" / "model.json").read_text())["recipe"]
    assert again.config["repeats"] == str(run.folder)
    assert "differ" not in messages(again)
    with pytest.raises(StorageError, match="already holds a run"):
        api.repeat(run.folder, run=tmp_path / "again")


def test_a_run_that_went_on_from_a_model_is_repeated_with_it(tmp_path: Path) -> None:
    first = trained(tmp_path / "first")
    second = trained(tmp_path / "second", start_from=first.folder)
    api.repeat(second.folder, run=tmp_path / "again")
    assert same_weights(second, open_run(tmp_path / "again"))


def test_what_makes_a_repetition_differ_is_said(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", steps=3)
    config = json.loads((run.folder / "config.json").read_text())
    config["versions"]["torch"] = "1.0"
    config |= {"minutes": 5.0, "began_with": {"minutes": 0, "steps": 2}}
    (run.folder / "config.json").write_text(json.dumps(config))
    api.repeat(run.folder, run=tmp_path / "again")
    told = messages(open_run(tmp_path / "again"))
    assert "torch 1.0 →" in told
    assert "budget of time" in told
    assert "larger budget on its way" in told


def test_a_run_without_its_data_is_not_repeated_and_nothing_is_left(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    (run.folder / "data" / run.stored[0].image).unlink()
    with pytest.raises(ModelError, match="missing"):
        api.repeat(run.folder, run=tmp_path / "again")
    assert not (tmp_path / "again").exists()
