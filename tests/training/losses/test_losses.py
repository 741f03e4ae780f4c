"""Every loss against its definition worked out pixel by pixel in double precision, without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.core.registry import LOSSES
from napari_segtool.core.terms import Term
from napari_segtool.training.losses._class_weights import class_weights
from napari_segtool.training.losses._combined import combine, head_of
from napari_segtool.training.losses._context import LossContext
from napari_segtool.training.losses._distance import signed_distances
from napari_segtool.training.losses.class_balanced import balanced_weights

K = 3
CLASS_WEIGHTS = np.array([0.4, 1.1, 2.5])
PIXELS = np.array([900, 300, 40])
SHAPES = {"2-D": (2, 5, 7), "3-D": (2, 3, 4, 5)}
Array = NDArray[np.float64]


def context(sigmoid: bool = False, sampling: tuple[float, ...] = ()) -> LossContext:
    return LossContext(torch.from_numpy(PIXELS), torch.from_numpy(CLASS_WEIGHTS), torch.device("cpu"), sampling, sigmoid)


def case(shape: tuple[int, ...], weighted: bool, seed: int = 0) -> tuple[Array, NDArray[np.int64], Array]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, K, shape)
    target[rng.random(shape) < 0.3] = 255
    return rng.normal(0, 2, (shape[0], K, *shape[1:])), target, rng.uniform(0, 3, shape) if weighted else np.ones(shape)


def value_of(name: str, logits: Array, target: NDArray[np.int64], weights: Array | None, given: LossContext | None = None, /, **params: Any) -> float:
    entry = LOSSES.get(name)
    loss = entry.function(entry.params.build(**params), given or context())
    return float(loss(torch.from_numpy(logits), torch.from_numpy(target), None if weights is None else torch.from_numpy(weights)))


def softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits)))


def pixel_mean(target: NDArray[np.int64], weights: Array, per_class: Array, cost: Callable[[tuple[int, ...], int], float]) -> float:
    """Σ w cost / Σ w over labelled pixels; ``cost(place, class)`` with place = (n, …)."""
    total, mass = 0.0, 0.0
    for place in np.ndindex(*target.shape):
        k = int(target[place])
        if k != 255:
            weight = weights[place] * per_class[k]
            total += weight * cost(place, k)
            mass += weight
    return total / mass


def sums_of(chance: Array, target: NDArray[np.int64], weights: Array) -> tuple[Array, Array, Array, Array]:
    """Σ w p g, Σ w p, Σ w p², Σ w g of each class, over labelled pixels."""
    shared, predicted, squares, true = np.zeros((4, K))
    for place in np.ndindex(*target.shape):
        if target[place] == 255:
            continue
        for k in range(K):
            p, g, w = chance[(place[0], k, *place[1:])], float(target[place] == k), weights[place]
            shared[k] += w * p * g
            predicted[k] += w * p
            squares[k] += w * p * p
            true[k] += w * g
    return shared, predicted, squares, true


variants = pytest.mark.parametrize(("shape", "weighted"), [(shape, weighted) for shape in SHAPES for weighted in (False, True)])


@variants
@pytest.mark.parametrize(
    ("name", "params", "per_class"),
    [
        ("cross-entropy", {}, CLASS_WEIGHTS),
        ("weighted-cross-entropy", {"weights": "1,10,3.5"}, np.array([1, 10, 3.5])),
        ("weighted-cross-entropy", {}, np.ones(K)),
        ("class-balanced", {"beta": 0.99}, 0.01 / (1 - 0.99**PIXELS)),
        ("class-balanced", {}, (1 / 1240) / (1 - (1239 / 1240) ** PIXELS)),
        ("class-balanced", {"beta": 0.0}, np.ones(K)),
    ],
)
def test_cross_entropies_are_means_weighted_by_class_and_pixel(name: str, params: dict[str, Any], per_class: Array, shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    p = softmax(logits)
    wanted = pixel_mean(target, weights, per_class, lambda place, k: -np.log(p[(place[0], k, *place[1:])]))
    assert value_of(name, logits, target, weights if weighted else None, **params) == pytest.approx(wanted, rel=1e-9)


@variants
def test_binary_cross_entropy_asks_every_class_by_itself(shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    p = sigmoid(logits)

    def cost(place: tuple[int, ...], k: int) -> float:
        answers = [p[(place[0], other, *place[1:])] if other == k else 1 - p[(place[0], other, *place[1:])] for other in range(K)]
        return -float(np.mean(np.log(answers)))

    wanted = pixel_mean(target, weights, CLASS_WEIGHTS, cost)
    assert value_of("binary-cross-entropy", logits, target, weights if weighted else None) == pytest.approx(wanted, rel=1e-9)


@variants
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_weighs_the_surprise_by_how_wrong_it_is(gamma: float, shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    p = softmax(logits)
    wanted = pixel_mean(target, weights, CLASS_WEIGHTS, lambda at, k: -((1 - p[(at[0], k, *at[1:])]) ** gamma) * np.log(p[(at[0], k, *at[1:])]))
    assert value_of("focal", logits, target, weights if weighted else None, gamma=gamma) == pytest.approx(wanted, rel=1e-9)


def test_focal_with_sigmoid_heads_asks_every_class_by_itself() -> None:
    logits, target, weights = case(SHAPES["2-D"], True)
    p = sigmoid(logits)

    def cost(place: tuple[int, ...], k: int) -> float:
        right = np.array([p[(place[0], other, *place[1:])] if other == k else 1 - p[(place[0], other, *place[1:])] for other in range(K)])
        return -float(np.mean((1 - right) ** 2 * np.log(right)))

    wanted = pixel_mean(target, weights, CLASS_WEIGHTS, cost)
    assert value_of("focal", logits, target, weights, context(sigmoid=True)) == pytest.approx(wanted, rel=1e-9)


@variants
@pytest.mark.parametrize("heads", [softmax, sigmoid])
@pytest.mark.parametrize("form", ["sum", "squared"])
def test_soft_dice_has_two_forms(form: str, heads: Callable[[Array], Array], shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    shared, predicted, squares, true = sums_of(heads(logits), target, weights)
    wanted = np.mean(1 - (2 * shared + 0.7) / ((predicted if form == "sum" else squares) + true + 0.7))
    given = context(sigmoid=heads is sigmoid)
    assert value_of("dice", logits, target, weights if weighted else None, given, form=form, smooth=0.7) == pytest.approx(wanted, rel=1e-9)


@variants
def test_generalised_dice_weighs_classes_by_their_squared_volume(shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    shared, predicted, _, true = sums_of(softmax(logits), target, weights)
    wanted = 1 - 2 * (shared / true**2).sum() / ((predicted + true) / true**2).sum()
    assert value_of("generalised-dice", logits, target, weights if weighted else None) == pytest.approx(wanted, rel=1e-9)


def test_generalised_dice_of_a_speck_in_a_large_picture_stays_a_number() -> None:
    target = np.zeros((1, 400, 400), np.int64)
    target[0, 3, 3] = 1
    logits = np.zeros((1, 2, 400, 400))
    entry = LOSSES.get("generalised-dice")
    got = entry.function(entry.params(), context())(torch.from_numpy(logits).float(), torch.from_numpy(target), None)
    background, speck = 1 / 159999.0**2, 1.0
    shared, both = background * 79999.5 + speck * 0.5, background * (80000 + 159999) + speck * (80000 + 1)
    assert float(got) == pytest.approx(1 - 2 * shared / both, rel=1e-5)


@variants
@pytest.mark.parametrize("with_first", [False, True])
def test_tversky_prices_misses_and_false_alarms(with_first: bool, shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    shared, predicted, _, true = sums_of(softmax(logits), target, weights)
    index = (shared + 1) / (shared + 0.2 * (predicted - shared) + 0.9 * (true - shared) + 1)
    wanted = np.mean(1 - index[0 if with_first else 1 :])
    params = {"alpha": 0.2, "beta": 0.9, "with_first": with_first}
    assert value_of("tversky", logits, target, weights if weighted else None, **params) == pytest.approx(wanted, rel=1e-9)


def test_tversky_of_one_half_and_one_half_is_dice() -> None:
    logits, target, weights = case(SHAPES["2-D"], True)
    half = value_of("tversky", logits, target, weights, alpha=0.5, beta=0.5, with_first=True, smooth=1.0)
    assert half == pytest.approx(value_of("dice", logits, target, weights, smooth=2.0), rel=1e-12)


def test_a_miss_costs_more_than_a_false_alarm_with_tverskys_defaults() -> None:
    target = np.array([[[0] * 10 + [1] * 10]])
    more, fewer = np.zeros((2, 1, 2, 1, 20))
    more[0, 1, 0, 5:], more[0, 0, 0, :5] = 50, 50
    fewer[0, 1, 0, 15:], fewer[0, 0, 0, :15] = 50, 50
    assert value_of("tversky", fewer, target, None) > 1.5 * value_of("tversky", more, target, None)


def distances_by_hand(target: NDArray[np.int64], k: int, size: Array) -> Array:
    out = np.zeros(target.shape)
    for n, patch in enumerate(target):
        inside, outside = np.argwhere(patch == k), np.argwhere((patch != k) & (patch != 255))
        if len(inside) and len(outside):
            for here, others, sign in ((inside, outside, -1), (outside, inside, 1)):
                for place in here:
                    nearest = np.sqrt((((others - place) * size) ** 2).sum(1)).min()
                    out[(n, *place)] = sign * (nearest - size.min() / 2)
    return out


@variants
@pytest.mark.parametrize("with_first", [False, True])
def test_the_boundary_loss_is_the_mean_of_chance_times_signed_distance(with_first: bool, shape: str, weighted: bool) -> None:
    logits, target, weights = case(SHAPES[shape], weighted)
    size = np.array([3.0, 1.0, 1.0][-(target.ndim - 1) :])
    p, first = softmax(logits), 0 if with_first else 1
    maps = np.stack([distances_by_hand(target, k, size) for k in range(K)], 1)
    wanted = pixel_mean(
        target, weights, np.ones(K), lambda at, _: float(np.mean([p[(at[0], k, *at[1:])] * maps[(at[0], k, *at[1:])] for k in range(first, K)]))
    )
    given = context(sampling=tuple(size))
    assert value_of("boundary", logits, target, weights if weighted else None, given, with_first=with_first) == pytest.approx(wanted, rel=1e-5)


def test_signed_distances_change_sign_half_way_between_two_pixels() -> None:
    target = np.zeros((1, 9, 9), np.int64)
    target[0, :, 4:] = 1
    maps = signed_distances(target, [0, 1])
    assert np.allclose(maps[0, 1], np.array([3.5, 2.5, 1.5, 0.5, -0.5, -1.5, -2.5, -3.5, -4.5]))
    assert np.array_equal(maps[0, 0], -maps[0, 1])


def test_a_class_that_fills_a_patch_or_is_not_there_has_no_boundary() -> None:
    target = np.zeros((1, 4, 4), np.int64)
    target[0, 0] = 255
    assert not signed_distances(target, [0, 1]).any()
    with pytest.raises(ShapeError):
        signed_distances(target, [0], (1.0, 1.0, 1.0))


def test_the_truth_has_the_least_boundary_loss() -> None:
    target = np.zeros((1, 12, 12), np.int64)
    target[0, 3:9, 3:9] = 1
    best = np.stack([target == 0, target == 1], 1) * 60.0
    shifted = np.roll(best, 1, axis=3)
    assert value_of("boundary", best, target, None) < value_of("boundary", shifted, target, None) < value_of("boundary", -best, target, None)


def test_certain_and_right_is_no_dice_loss_and_certain_and_wrong_is_one() -> None:
    target = np.arange(2).reshape(1, 1, 2).repeat(50, 1).repeat(50, 2)
    right = np.stack([target == 0, target == 1], 1) * 100.0
    for name in ("dice", "generalised-dice", "tversky"):
        assert value_of(name, right, target, None) == pytest.approx(0, abs=1e-9)
        assert value_of(name, -right, target, None) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["dice", "generalised-dice", "tversky"])
def test_classes_that_do_not_occur_have_no_part_in_the_overlap(name: str) -> None:
    logits, target, _ = case(SHAPES["2-D"], False)
    target[target == 2] = 0
    shared, predicted, _, true = sums_of(softmax(logits), target, np.ones(target.shape))
    wanted = {
        "dice": np.mean(1 - (2 * shared[:2] + 1) / (predicted[:2] + true[:2] + 1)),
        "generalised-dice": 1 - 2 * (shared[:2] / true[:2] ** 2).sum() / ((predicted[:2] + true[:2]) / true[:2] ** 2).sum(),
        "tversky": 1 - (shared[1] + 1) / (shared[1] + 0.3 * (predicted[1] - shared[1]) + 0.7 * (true[1] - shared[1]) + 1),
    }[name]
    assert value_of(name, logits, target, None) == pytest.approx(float(wanted), rel=1e-9)


def test_effective_numbers_go_from_none_to_full_balance() -> None:
    assert balanced_weights([900, 90], 0.0) == (1, 1)
    light, full = balanced_weights([900, 90], 0.9), balanced_weights([900, 90], 0.999999999)
    assert light[1] / light[0] == pytest.approx(1, abs=1e-3)
    assert full[1] / full[0] == pytest.approx(10, rel=1e-5)
    assert balanced_weights([0, 10], 0.5)[0] == pytest.approx(balanced_weights([1, 10], 0.5)[0])


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "1,x,2", "0,0,0", "1,-1,2", "1,nan,2", "1,inf,2"])
def test_class_weights_that_do_not_fit_are_refused_with_an_example(text: str) -> None:
    entry = LOSSES.get("weighted-cross-entropy")
    with pytest.raises(ParameterError) as caught:
        entry.function(entry.params.build(weights=text), context())
    assert "1,10,1" in caught.value.hint


def test_a_sum_of_losses_is_the_weighted_sum_of_their_values() -> None:
    logits, target, weights = case(SHAPES["2-D"], True)
    terms = (Term("cross-entropy"), Term("dice", 0.5, {"form": "squared"}), Term("boundary", 0.01), Term("focal", 0.0))
    got = combine(terms, context())(torch.from_numpy(logits), torch.from_numpy(target), torch.from_numpy(weights))
    parts = [value_of(term.name, logits, target, weights, **term.params) for term in terms]
    assert float(got) == pytest.approx(parts[0] + 0.5 * parts[1] + 0.01 * parts[2], rel=1e-12)


def test_one_sigmoid_loss_makes_all_terms_use_sigmoids() -> None:
    logits, target, _ = case(SHAPES["2-D"], False)
    terms = [Term("binary-cross-entropy"), Term("dice", 2.0)]
    got = combine(terms, context())(torch.from_numpy(logits), torch.from_numpy(target), None)
    parts = value_of("binary-cross-entropy", logits, target, None) + 2 * value_of("dice", logits, target, None, context(sigmoid=True))
    assert float(got) == pytest.approx(parts, rel=1e-12)
    assert head_of(terms) == "sigmoid"
    assert head_of([Term("dice"), Term("binary-cross-entropy", 0.0)]) == "softmax"


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ([], "no loss"),
        ([Term("dice", 0.0)], "no loss"),
        ([Term("dice", -1.0)], "weight -1"),
        ([Term("dice", float("nan"))], "weight nan"),
        ([Term("dise")], "no loss 'dise'"),
        ([Term("dice", 1.0, {"smoth": 1})], "no parameter 'smoth'"),
        ([Term("dice", 1.0, {"form": "cube"})], "not allowed"),
        ([Term("binary-cross-entropy"), Term("cross-entropy")], "cannot be added"),
    ],
)
def test_sums_that_make_no_sense_are_refused_with_a_hint(terms: list[Term], said: str) -> None:
    with pytest.raises(ParameterError, match=said) as caught:
        combine(terms, context())
    assert caught.value.hint


def test_weights_follow_rarity_and_weigh_the_pixels_one_on_average() -> None:
    pixels = torch.tensor([900, 90, 10])
    assert class_weights(pixels, 0).tolist() == [1, 1, 1]
    full = class_weights(pixels, 1.0)
    assert np.allclose(full.numpy() * pixels.numpy(), 1000 / 3)
    half = class_weights(pixels, 0.5)
    assert float(half[2] / half[0]) == pytest.approx(np.sqrt(90))
    assert float((half * pixels).sum() / 1000) == pytest.approx(1)
