"""Curves of trainings: what is drawn, what is said of how a training stands, and that it does not hold up the window."""

from __future__ import annotations

import math
import time

import pytest

from napari_segtool.ui._train_curves import Curves
from napari_segtool.ui._train_history import History
from napari_segtool.ui._train_standing import choices_of, remarks_of, standing_text


def learned(dices, *, trained=(), every=100, rate=2):
    """A training with a validation every so many steps and a loss every few."""
    history = History()
    history.take([{"kind": "start", "step": 0}])
    for number, dice in enumerate(dices, start=1):
        for step in range((number - 1) * every + rate, number * every + 1, rate):
            history.take([{"kind": "step", "step": step, "loss": 1 / step}])
        told = {"train_loss": 1 - trained[number - 1], "train_dice": trained[number - 1]} if trained else {}
        history.take([{"kind": "validation", "step": number * every, "loss": 1 - dice, "dice": dice, "iou": dice / (2 - dice), **told}])
    return history


@pytest.fixture
def curves(qtbot):
    widget = Curves("dark")
    qtbot.addWidget(widget)
    widget.resize(360, 260)
    widget.show()
    return widget


def test_it_is_said_for_how_many_steps_validation_has_not_improved():
    history = learned([0.5, 0.8, 0.7, 0.7, 0.75])
    assert standing_text(history) == "Best so far: Dice 0.800, IoU 0.667 at step 200."
    history = learned([0.5, 0.8, 0.7, 0.7, 0.75, 0.79])
    assert standing_text(history) == "Best: Dice 0.800, IoU 0.667 at step 200; not improved for 400 steps."


DISAGREEING = {"loss": [0.5, 0.4, 0.1, 0.6, 0.7, 0.8, 0.9], "dice": [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.91], "iou": [0.3, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4]}


def going_by(metric, **more):
    """A training whose loss is best at step 300, its IoU at 200, and its Dice at the end."""
    history = History()
    history.take([{"kind": "start", "step": 0, **({"metric": metric} if metric else {})}])
    for number in range(7):
        scores = {name: values[number] for name, values in (DISAGREEING | more).items()}
        history.take([{"kind": "validation", "step": 100 * (number + 1), "kept": True, **scores}])
    return history


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("loss", "Best: loss 0.100, Dice 0.700, IoU 0.400 at step 300; not improved for 400 steps."),
        ("iou", "Best: IoU 0.500, Dice 0.600 at step 200; not improved for 500 steps."),
        ("dice", "Best so far: Dice 0.910, IoU 0.400 at step 700."),
        ("", "Best so far: Dice 0.910, IoU 0.400 at step 700."),
    ],
)
def test_what_was_best_goes_by_the_metric_of_the_run(curves, metric, text):
    history = going_by(metric)
    assert standing_text(history) == text
    curves.show_runs([("a", history)])
    mark = curves._plot._marks[0]
    assert mark.value() == history.checked[history.peak]
    assert mark.pen.color().name().upper() == {"loss": "#E69F00", "iou": "#009E73"}.get(metric, "#56B4E9")
    curves.show_runs([("a", history), ("b", going_by("dice"))])
    assert {"loss": "loss 0.100 · Dice 0.700", "iou": "IoU 0.500 · Dice 0.600"}.get(metric, "Dice 0.910 · IoU 0.400") in curves.legend.text()


def test_learning_by_heart_goes_by_the_metric_too():
    rising = [0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95]
    assert "by heart" in standing_text(going_by("iou", train_iou=rising))
    assert "by heart" not in standing_text(going_by("iou", train_dice=rising, train_iou=[0.5] * 7))
    assert "by heart" in standing_text(going_by("loss", train_dice=rising))
    assert "by heart" not in standing_text(going_by("dice", train_dice=rising))


def test_learning_by_heart_is_said_where_only_what_is_learned_gets_better():
    assert "by heart" in standing_text(learned([0.5, 0.8, 0.7, 0.7, 0.75, 0.7], trained=[0.5, 0.8, 0.85, 0.9, 0.95, 0.97]))
    assert "by heart" not in standing_text(learned([0.5, 0.8, 0.7, 0.7, 0.75, 0.7], trained=[0.5, 0.8, 0.8, 0.8, 0.8, 0.8]))


def test_nothing_is_said_where_nothing_was_scored():
    assert standing_text(History()) == ""
    history = History()
    history.take([{"kind": "validation", "step": 5, "loss": None, "dice": None}])
    assert (standing_text(history), history.peak, history.unimproved) == ("", -1, 0)


def test_scores_of_steps_that_are_done_again_are_taken_back():
    history = learned([0.5, 0.6, 0.7])
    history.take([{"kind": "start", "step": 200}])
    assert (history.checked, history.dices) == ([100, 200], [0.5, 0.6])
    assert {len(values) for values in history.measures.values()} == {2}


def test_reasons_for_settings_do_not_fill_the_message_line():
    history = History(messages=["Chosen for these images:\n• depth 4: so", "Validation has not improved for 300 steps; …", "Memory ran out."])
    assert remarks_of(history) == ["Memory ran out."]
    assert len(choices_of(history)) == 1


def test_one_run_shows_losses_scores_and_the_best_step(curves):
    curves.show_runs([("a", learned([0.5, 0.8, 0.7]))])
    text = curves.legend.text()
    assert [word in text for word in ("loss", "Dice", "IoU", "each&nbsp;step")] == [True] * 4
    mark = curves._plot._marks[0]
    assert mark.isVisible()
    assert mark.value() == 200
    assert curves.drawn == 150


def points(curves, number, name):
    """The line of a run as it is drawn; empty where there is none."""
    item = curves._plot._items.get((number, name))
    values = None if item is None else item.getData()[1]
    return [] if values is None else [round(float(value), 6) for value in values]


HELD, LEARNED = [0.5, 0.8, 0.7, 0.6], [0.5, 0.8, 0.9, 0.95]


def test_losses_of_held_out_and_of_learned_pixels_are_a_pair_in_one_colour(curves):
    curves.show_runs([("a", learned(HELD, trained=LEARNED))])
    assert points(curves, 0, "check_losses") == [0.5, 0.2, 0.3, 0.4]
    assert points(curves, 0, "train_losses") == [0.5, 0.2, 0.1, 0.05]
    thick, thin, step = (curves._plot._items[0, name].opts["pen"] for name in ("check_losses", "train_losses", "losses"))
    assert thick.color() == thin.color() != step.color()
    assert thick.width() > thin.width()
    assert "thin:&nbsp;learned" in curves.legend.text()


def test_the_pair_keeps_the_height_of_the_plot_however_large_the_loss_of_each_step_is(curves):
    history = learned(HELD, trained=LEARNED)
    history.losses = [100.0] * len(history.losses)
    curves.show_runs([("a", history)])
    assert 0.5 < curves._plot._left.viewRange()[1][1] < 1
    curves.show_runs([("a", History(steps=[1, 2], losses=[100.0, 90.0]))])
    assert curves._plot._left.viewRange()[1][1] > 100


def test_before_the_first_validation_the_loss_of_each_step_is_drawn(curves):
    curves.show_runs([("a", History(steps=[1, 2], losses=[1.0, 0.5]))])
    assert points(curves, 0, "losses") == [1.0, 0.5]
    assert "thin" not in curves.legend.text()


def test_a_run_that_measured_nothing_of_what_it_learned_is_still_drawn(curves):
    curves.show_runs([("a", learned(HELD, trained=LEARNED))])
    curves.show_runs([("b", learned(HELD))])
    assert points(curves, 0, "check_losses") == [0.5, 0.2, 0.3, 0.4]
    assert points(curves, 0, "train_losses") == []
    assert "thin" not in curves.legend.text()


def test_losses_of_several_runs_are_compared_by_the_same_measure(curves):
    curves.restore(["loss"])
    runs = [("a", learned(HELD, trained=LEARNED)), ("b", learned(HELD)), ("c", History(steps=[1, 2], losses=[9.0, 8.0]))]
    curves.show_runs(runs)
    assert points(curves, 0, "train_losses") == [0.5, 0.2, 0.1, 0.05]
    assert points(curves, 0, "losses") == points(curves, 1, "losses") == []
    assert points(curves, 2, "losses") == [9.0, 8.0], "nothing else is known of it"


def test_the_sentence_how_a_training_stands_is_never_cut_off(curves, qtbot):
    curves.show_runs([("a", learned([0.5, 0.8, 0.7, 0.7, 0.75, 0.7], trained=[0.5, 0.8, 0.85, 0.9, 0.95, 0.97], every=20000, rate=5000))])
    assert curves.legend.text().endswith("It begins to learn by heart.")
    assert curves.legend.height() >= curves.legend.heightForWidth(curves.width())


def test_loss_and_score_are_switched_and_one_of_them_stays(curves):
    curves.show_runs([("a", learned([0.5, 0.8]))])
    curves.losses.click()
    assert "loss" not in curves.legend.text()
    assert curves.shown() == ["score"]
    curves.scores.click()
    assert curves.shown() == ["loss"]
    assert "IoU" not in curves.legend.text().split("<br>")[0]


def test_runs_are_compared_by_name_and_best_value_and_by_what_differs(curves):
    curves.show_runs(
        [("first", learned([0.5, 0.8])), ("second", learned([0.6])), ("third", History(steps=[1], losses=[1.0]))], {"learning_rate": (0.001, 0.01, 0.001)}
    )
    lines = curves.legend.text().split("<br>")
    assert ["first" in lines[0], "Dice 0.800 · IoU 0.667" in lines[0], "Dice 0.600" in lines[1], "not scored" in lines[2]] == [True] * 4
    assert "learning rate 0.001 / 0.01 / 0.001" in curves.legend.toolTip()
    curves.show_runs([("first", learned([0.5, 0.8]))])
    assert all(item.getData()[0] is None or len(item.getData()[0]) == 0 for key, item in curves._plot._items.items() if key[0] > 0)


def test_a_run_without_scores_is_drawn_without_complaint(curves):
    history = History(steps=[1, 2], losses=[math.nan, 1.0])
    history.take([{"kind": "validation", "step": 2, "loss": None, "dice": None}])
    curves.show_runs([("a", history)])
    assert curves.drawn == 2


def test_a_long_training_is_drawn_within_a_twentieth_of_a_second(curves, qtbot):
    histories = [(str(number), learned([0.5 + 0.001 * n for n in range(300)], every=200)) for number in range(3)]
    curves.show_runs(histories)
    qtbot.wait(50)
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        curves.show_runs(histories)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.05
