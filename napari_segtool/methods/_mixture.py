"""Mixtures of Gaussians: of grey values, exactly on the histogram, and of colours or channels, on a sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.methods._colours import best_scoring, cluster_centres, nearest
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._partition import best_partition
from napari_segtool.methods._thresholds import grid_places

Values = NDArray[np.float64]

GROUPS = 1024
"""Groups that grey values are joined to while the mixture is fitted; each keeps its mean and spread, so hardly anything is lost."""

_GREY_ROUNDS, _GREY_SETTLED = 500, 1e-7  # rounds at most, and the gain in log-likelihood of a pixel that ends them
_ROUNDS, _AT_ONCE, _SETTLED, _LEAST_VARIANCE = 200, 5, 1e-4, 1e-5  # of colours; the last in units of the variance of a channel


@dataclass(frozen=True, eq=False)
class GreyMixture:
    """Gaussians over grey values, from dark to bright.

    Parameters
    ----------
    shares, means, variances
        Of each component, shape ``(K,)``; shares add to 1.
    """

    shares: Values
    means: Values
    variances: Values

    def log_densities(self, values: Values) -> Values:
        """Return the log of share times density of each component at each value, shape ``(K, n)``."""
        distance = (values - self.means[:, None]) ** 2 / self.variances[:, None]
        logs: Values = -0.5 * distance + (np.log(self.shares) - 0.5 * np.log(2 * np.pi * self.variances))[:, None]
        return logs

    def components(self, values: Values) -> NDArray[np.int64]:
        """Return the most likely component of each value; of equally likely ones the darkest."""
        return np.asarray(self.log_densities(values).argmax(axis=0))


def grey_components(histogram: Histogram, count: int) -> NDArray[np.uint8]:
    """Return the most likely component of each bin, 0 for the one with the darkest mean.

    Parameters
    ----------
    histogram
        With at least ``count`` grey values.
    count
        Number of components.
    """
    levels = histogram.levels()
    places = grid_places(levels).astype(np.float64)
    mixture = fit_grey(places, histogram.counts[levels].astype(np.float64), count)
    found = mixture.components(places).astype(np.uint8)
    return found[np.clip(np.searchsorted(levels, np.arange(len(histogram.counts)), side="right") - 1, 0, len(levels) - 1)]


def fit_grey(values: Values, counts: Values, count: int) -> GreyMixture:
    """Fit Gaussians to values that occur so and so often, by expectation and maximisation.

    It starts from the best partition there is (exact k-means), so it needs no chance. No Gaussian gets narrower than the rounding to
    whole numbers makes it.

    Parameters
    ----------
    values
        Whole numbers in increasing order, shape ``(n,)``.
    counts
        How often each occurs, above 0.
    count
        Number of Gaussians, 1 to n.
    """
    rounding = 1 / 12
    middle = float(np.average(values, weights=counts))
    values = values - middle
    number, mean, square = _grouped(values, counts, count)
    owner = np.searchsorted(best_partition(mean, number, count), np.arange(len(mean)), side="right")
    weight = np.bincount(owner, number)
    means = np.bincount(owner, number * mean) / weight
    variances = np.maximum(np.bincount(owner, number * square) / weight - means**2, 0) + rounding
    mixture = GreyMixture(weight / weight.sum(), means, variances)
    before = -np.inf
    for _ in range(_GREY_ROUNDS):
        logs = mixture.log_densities(mean)
        largest = logs.max(axis=0)
        parts = np.exp(logs - largest)
        total = parts.sum(axis=0)
        likelihood = float((number * (largest + np.log(total))).sum() / number.sum())
        if likelihood - before < _GREY_SETTLED:
            break
        before = likelihood
        parts *= number / total
        weight = np.maximum(parts.sum(axis=1), 1e-9)  # a component that lost its last pixel stays where it is, and is empty
        means = parts @ mean / weight
        variances = np.maximum(parts @ square / weight - means**2, 0) + rounding
        mixture = GreyMixture(weight / weight.sum(), means, variances)
    order = np.argsort(mixture.means, kind="stable")
    return GreyMixture(mixture.shares[order], mixture.means[order] + middle, mixture.variances[order])


def _grouped(values: Values, counts: Values, least: int) -> tuple[Values, Values, Values]:
    """Join neighbouring values to at most `GROUPS`, and at least ``least``: their number, mean, and mean square."""
    width = -(-(values[-1] - values[0] + 1) // GROUPS)
    if len(values) <= GROUPS or len(np.unique((values - values[0]) // width)) < least:
        return counts, values, values**2
    groups = ((values - values[0]) // width).astype(np.int64)
    number, total, squares = (np.bincount(groups, counts * power) for power in (1.0, values, values**2))
    filled = number > 0
    return number[filled].astype(np.float64), total[filled] / number[filled], squares[filled] / number[filled]


@dataclass(frozen=True, eq=False)
class ColourMixture:
    """Gaussians over the channels of a pixel, in order of increasing mean over the channels.

    Parameters
    ----------
    to_units
        Makes each component round: shape ``(K · channels, channels)``.
    centres
        Means, made round the same way, shape ``(K, channels)``.
    logs
        Log of the share of each component times its density at its mean, shape ``(K,)``.
    """

    to_units: NDArray[np.float32]
    centres: NDArray[np.float32]
    logs: NDArray[np.float32]

    def components(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the most likely component of each pixel of ``(channel, Y, X)``; 0 where a channel has no value."""
        count, channels = self.centres.shape

        def scores(block: NDArray[np.float32]) -> NDArray[np.float32]:
            distance = self.to_units @ block
            distance -= self.centres.reshape(-1, 1)
            np.multiply(distance, distance, out=distance)
            return np.asarray(self.logs[:, None] - 0.5 * distance.reshape(count, channels, -1).sum(axis=1))

        return best_scoring(values, scores)


def fit_colours_steps(sample: NDArray[np.float32], count: int, seed: int) -> Steps[ColourMixture]:
    """Fit Gaussians of any shape and direction to colours, starting from k-means.

    Parameters
    ----------
    sample
        Shape ``(pixel, channel)``, finite.
    count
        Number of Gaussians.
    seed
        Of the random starts of k-means.

    Raises
    ------
    DataError
        If there are fewer different pixels than ``count``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    middle = sample.mean(axis=0, dtype=np.float64)
    spread = sample.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1
    pixels = (sample - middle) / spread  # channels of any scale count alike
    centres = cluster_centres(pixels.astype(np.float32), count, seed)
    owner = nearest(pixels, centres)
    small = _LEAST_VARIANCE * np.eye(pixels.shape[1])
    covariances = [np.cov(pixels[owner == k], rowvar=False, bias=True).reshape(small.shape) if (owner == k).any() else small for k in range(count)]
    shares = np.maximum(np.bincount(owner, minlength=count), 1e-9)
    model = GaussianMixture(
        count,
        tol=_SETTLED,
        reg_covar=_LEAST_VARIANCE,
        max_iter=_AT_ONCE,
        weights_init=shares / shares.sum(),
        means_init=centres,
        precisions_init=np.array([np.linalg.inv(covariance + small) for covariance in covariances]),
        warm_start=True,
        random_state=seed,
    )
    rounds = _ROUNDS // _AT_ONCE
    for done in range(1, rounds + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it goes on in the next turn
            model.fit(pixels)
        if model.converged_:
            break
        yield Progress(done, rounds, "mixture")
    yield Progress(1, 1, "mixture")
    order = np.lexsort((*(model.means_ * spread + middle).T, (model.means_ * spread + middle).mean(axis=1)))
    factors = model.precisions_cholesky_[order] / spread[:, None]
    centres = np.einsum("kc,kcd->kd", model.means_[order] * spread + middle, factors)
    logs = np.log(model.weights_[order]) + np.log(np.abs(np.linalg.det(model.precisions_cholesky_[order])))
    joined = factors.transpose(0, 2, 1).reshape(-1, len(spread))
    return ColourMixture(joined.astype(np.float32), centres.astype(np.float32), logs.astype(np.float32))
