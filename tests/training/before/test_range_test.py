"""The learning-rate range test: what it suggests, when it ends, and that nothing is left of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_segtool.api as api
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.training.before._range_test import suggest
from napari_segtool.training.engine._trainer import Trainer
from tests.training.blobs import TINY, blobs, tiny_run

RATES = [10 ** (n / 20 - 6) for n in range(121)]  # 1e-6 … 1


def test_the_rate_at_which_the_loss_falls_fastest_is_suggested() -> None:
    losses = [1 / (1 + math.exp(8 * (math.log10(rate) + 3.5))) + (0 if rate < 0.1 else 50 * (rate - 0.1)) for rate in RATES]  # falls about 10^-3.5
    assert suggest(RATES, losses) == pytest.approx(10**-3.5, rel=0.3)


def test_a_chance_drop_of_the_first_losses_is_not_taken_for_the_fall() -> None:
    losses = [1.55, 1.48] + [1.5 if rate < 1e-3 else 1.5 - 0.2 * math.log10(rate / 1e-3) for rate in RATES[2:]]
    assert suggest(RATES, losses) >= 1e-3


def test_a_rate_near_the_one_that_breaks_is_never_suggested() -> None:
    losses = [1.0 if rate < 0.05 else 0.2 for rate in RATES[:100]]  # a sudden fall, just before the end
    assert suggest(RATES[:100], losses) <= 0.1 * 0.06


def test_nothing_is_suggested_where_the_loss_never_falls() -> None:
    assert math.isnan(suggest(RATES, [1 + 0.001 * n for n in range(121)]))
    assert math.isnan(suggest([], []))


def test_rates_grow_evenly_until_the_loss_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(self: Trainer, _batch: Any, rate: float, _more: Any = ()) -> float:
        self.step += 1
        return 1.0 if rate < 1e-4 else 0.5 if rate < 1e-2 else 40.0

    monkeypatch.setattr(Trainer, "learn", learn)
    run = tiny_run(tmp_path / "run")
    seen: list[Any] = []
    found = drain(api.rate_range_steps(run.folder, steps=61), seen.append)
    steps = np.diff(np.log10(found.rates))
    assert found.rates[0] == pytest.approx(1e-6)
    assert np.allclose(steps, 0.1)
    assert 1e-2 <= found.diverged < 1.3e-2
    assert found.rates[-1] == found.diverged
    # smoothed by hand: an exponential mean, each divided by the share of the weights seen so far
    mean, smoothed = 0.0, []
    for number, loss in enumerate(found.losses, 1):
        mean = 0.9 * mean + 0.1 * loss
        smoothed.append(mean / (1 - 0.9**number))
    assert found.smoothed == pytest.approx(smoothed)
    assert 1e-4 <= found.suggestion < 1e-2 / 5
    assert [progress.metrics["learning_rate"] for progress in seen] == list(found.rates)


def test_a_loss_that_is_no_number_ends_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "learn", lambda self, batch, rate, more=(): 1.0 if rate < 1e-3 else math.nan)
    found = api.rate_range(tiny_run(tmp_path / "run").folder, steps=20)
    assert found.diverged >= 1e-3 > found.rates[-1]


def test_a_run_is_only_read_and_the_test_repeats_exactly(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    first, again = (api.rate_range(run.folder, steps=10) for _ in range(2))
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    assert first.losses == again.losses
    assert len(first.losses) == 10


def test_images_and_labels_will_do_and_so_does_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tifffile

    from napari_segtool.cli._app import run as segtool

    image, mask = blobs(5, 48)
    found = api.rate_range([(Stack(image, "ZYX"), mask)], steps=8, device="cpu", **TINY)
    assert len(found.rates) == 8
    for name, data in (("i.tif", image), ("l.tif", mask)):
        tifffile.imwrite(tmp_path / name, data)
    words = ["train", "-i", str(tmp_path / "i.tif"), "-l", str(tmp_path / "l.tif"), "--find-rate", "--steps", "8", "--device", "cpu", "--axes", "ZYX"]
    for name, value in TINY.items():
        words += ["--set", f"{name}={value}"]
    assert segtool([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rates"] == pytest.approx(list(found.rates))


def test_weights_of_pixels_count_in_the_test_as_they_do_in_training(tmp_path: Path) -> None:
    image, mask = blobs(5, 48)
    stack, weights = Stack(image, "ZYX"), np.random.default_rng(1).uniform(0.1, 9, mask.shape).astype(np.float32)
    plain, given = (api.rate_range([pair], steps=8, device="cpu", threads=1, **TINY) for pair in ((stack, mask), (stack, mask, weights)))
    run = tiny_run(tmp_path / "run", pairs=[(stack, mask, weights)])
    assert given.losses == api.rate_range(run.folder, steps=8).losses
    assert given.losses != plain.losses


def test_a_test_that_cannot_be_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    with pytest.raises(ParameterError, match="cannot go from"):
        api.rate_range(run.folder, steps=3)
    with pytest.raises(ParameterError, match="cannot go from"):
        api.rate_range(run.folder, lowest=0.1, highest=0.01)
