"""How a training stands, in one plain sentence. No Qt."""

from __future__ import annotations

import math

from napari_segtool.ui._train_history import History

_BY_HEART = 0.02
_CHOSEN = "Chosen for these images"


def standing_text(history: History) -> str:
    """Say whether validation still improves; empty while nothing was held out or scored.

    Examples
    --------
    >>> standing_text(History(checked=[10, 20], check_losses=[0.5, 0.4], dices=[0.7, 0.8], ious=[0.6, 0.7], train_dices=[0.7, 0.8], step=20))
    'Best so far: Dice 0.800, IoU 0.700 at step 20.'
    """
    peak = history.peak
    if peak < 0:
        return ""
    best = f"{', '.join(reached(history, peak))} at step {history.checked[peak]}"
    if history.unimproved:
        text = f"Best: {best}; not improved for {history.unimproved} steps."
        return f"{text} It begins to learn by heart." if _by_heart(history, peak) else text
    return f"Best: {best}." if history.ended else f"Best so far: {best}."


def reached(history: History, number: int) -> list[str]:
    """Name what a validation measured, that which decides first; what was not measured is left out, and the loss where it does not decide.

    Examples
    --------
    >>> reached(History(check_losses=[0.5], dices=[0.7], ious=[0.6], metric="iou"), 0)
    ['IoU 0.600', 'Dice 0.700']
    """
    measured = {"loss": ("loss", history.check_losses), "dice": ("Dice", history.dices), "iou": ("IoU", history.ious)}
    order = [history.metric, *(name for name in ("dice", "iou") if name != history.metric)]
    return [f"{measured[name][0]} {measured[name][1][number]:.3f}" for name in order if not math.isnan(measured[name][1][number])]


def _by_heart(history: History, peak: int) -> bool:
    """Whether what is learned from is told better and better, but what is held out is not."""
    trained, worths = history.train_ious if history.metric == "iou" else history.train_dices, history.worths
    before, now = trained[peak], trained[-1]
    return not math.isnan(before) and not math.isnan(now) and now > before + _BY_HEART and worths[-1] < worths[peak]


def choices_of(history: History) -> list[str]:
    """What was chosen for the images, and why; too long for the message line."""
    return [text for text in history.messages if text.startswith(_CHOSEN)]


def remarks_of(history: History) -> list[str]:
    """What the training has said that stands nowhere else: the curves say whether it still improves."""
    return [text for text in history.messages if not text.startswith((_CHOSEN, "Validation has not improved"))]


def scores_of(history: History) -> str:
    """Say how the weights that are kept score, by class where these are few."""
    if math.isnan(history.best_dice):
        return "Nothing was held out to score it on."
    each = {name: dice for name, dice in history.class_dices.items() if not math.isnan(dice)}
    listed = ", ".join(f"{name} {dice:.2f}" for name, dice in list(each.items())[:4])
    return f"Dice on held-out pixels: {history.best_dice:.3f}" + (f" ({listed})." if 1 < len(each) <= 4 else ".")
