"""Whether an explanation can be trusted: the settings of the checks, and their report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from napari_segtool.core.params import Params, param

Check = Literal["randomisation", "deletion", "insertion", "repeatability"]


class TrustParams(Params):
    """How thoroughly an explanation is checked."""

    layers: int = param(4, "In how many steps the network's weights are randomised, from the last layers to the first.", ge=1, le=64)
    independent: bool = param(True, "Also randomise each group of layers alone, with all others as trained.")
    steps: int = param(16, "Points on the deletion and insertion curves.", ge=2, le=200)
    block_px: int = param(0, "Side of the blocks that are covered one after the other; 0 chooses it.", unit="px", ge=0, le=128, advanced=True)
    measure: Literal["probability", "logit"] = param("probability", "What the curves show: the class's mean probability where it is asked about, or its logit.")
    noise: float = param(0.05, "Noise under which the question is asked again, as a part of the picture's contrast.", ge=0, le=1)
    draws: int = param(3, "How often noise, and a random order of the blocks, are drawn.", ge=1, le=20)
    seed: int = param(0, "Seed of all random numbers.", ge=0, advanced=True)


@dataclass(frozen=True)
class Likeness:
    """How like two maps are, 1 for the same; `nan` where a map is empty or too small to say.

    Parameters
    ----------
    layers
        What was changed: the layers whose weights were randomised, from the first that works to the last.
    rank, signed_rank
        Rank correlation of the maps' strengths, and of their values, with the fall of both away from the asked-for pixels taken out.
    ssim
        Structural similarity of the maps' strengths, scaled to one range.
    """

    layers: tuple[str, ...]
    rank: float
    signed_rank: float
    ssim: float


@dataclass(frozen=True)
class Curve:
    """Score against the part of the picture that is covered (deletion) or shown (insertion).

    Parameters
    ----------
    fractions
        From 0 to 1.
    scores
        Probability or logit at each of them.
    area
        Area under the curve by the trapezoidal rule.
    """

    fractions: tuple[float, ...]
    scores: tuple[float, ...]
    area: float


@dataclass(frozen=True)
class Verdict:
    """What a check says, in plain words.

    Parameters
    ----------
    check
        Which check.
    passed
        None where nothing could be said.
    words
        One or two sentences.
    """

    check: Check
    passed: bool | None
    words: str


@dataclass(frozen=True)
class TrustReport:
    """How far an explanation can be trusted.

    Parameters
    ----------
    explainer
        Title of the method.
    cascading
        Likeness of the map to that of the network with more and more layers randomised, from the last layers down; the last is all.
    independent
        The same with each group of layers randomised alone.
    deletion, insertion
        Curves in the map's order.
    random_deletion, random_insertion
        Mean curves of random orders.
    measure
        What the curves show: "probability" or "logit".
    difference
        Largest difference between two answers to the same question, relative to the map's largest value.
    steadiness
        Mean rank correlation with the maps under noise.
    verdicts
        What each check says.
    seed
        Seed of the random numbers.

    References
    ----------
    Adebayo et al. 2018, doi:10.48550/arXiv.1810.03292; Petsiuk et al. 2018, doi:10.48550/arXiv.1806.07421.
    """

    explainer: str
    cascading: tuple[Likeness, ...]
    independent: tuple[Likeness, ...]
    deletion: Curve
    insertion: Curve
    random_deletion: Curve
    random_insertion: Curve
    measure: str
    difference: float
    steadiness: float
    verdicts: tuple[Verdict, ...]
    seed: int = 0

    @property
    def trusted(self) -> bool:
        """Whether no check failed."""
        return all(verdict.passed is not False for verdict in self.verdicts)

    @property
    def words(self) -> str:
        """All verdicts, a line each."""
        return "\n".join(verdict.words for verdict in self.verdicts)

    def verdict(self, check: Check) -> Verdict:
        """What one check says."""
        return next(verdict for verdict in self.verdicts if verdict.check == check)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; what could not be said is None."""
        record: dict[str, Any] = _plain({**asdict(self), "trusted": self.trusted})
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TrustReport:
        """Read what `as_dict` wrote."""
        known = dict(record)
        known.pop("trusted", None)
        for name in ("cascading", "independent"):
            known[name] = tuple(Likeness(tuple(item["layers"]), *(_number(item[key]) for key in ("rank", "signed_rank", "ssim"))) for item in known[name])
        for name in ("deletion", "insertion", "random_deletion", "random_insertion"):
            curve = known[name]
            known[name] = Curve(tuple(curve["fractions"]), tuple(_number(score) for score in curve["scores"]), _number(curve["area"]))
        for name in ("difference", "steadiness"):
            known[name] = _number(known[name])
        known["verdicts"] = tuple(Verdict(**verdict) for verdict in known["verdicts"])
        return cls(**known)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
