"""What comes out: small frozen types that carry the recipe that made them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.core.stack import Stack


@dataclass(frozen=True)
class Step:
    """One step of a recipe.

    Parameters
    ----------
    name
        ``kind:entry`` as registered, for example ``segment:kmeans``.
    params
        Its parameters, JSON-ready.
    version
        Version of napari-segtool that ran it.
    input_sha
        First 16 hex digits of the SHA-256 of the input's shape, dtype and bytes.
    seed
        Seed of random numbers; -1 where none were drawn.
    inputs
        Hash, as ``input_sha``, of each array given beside the input, by its name ("paint", "mask").
    """

    name: str
    params: Mapping[str, Any]
    version: str
    input_sha: str
    seed: int = -1
    inputs: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        record = {"name": self.name, "params": dict(self.params), "version": self.version, "input_sha": self.input_sha, "seed": self.seed}
        return {**record, "inputs": dict(self.inputs)} if self.inputs else record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Step:
        """Read what `as_dict` wrote."""
        return cls(record["name"], dict(record["params"]), record["version"], record["input_sha"], int(record.get("seed", -1)), dict(record.get("inputs", {})))


def data_sha(data: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 over shape, dtype and bytes of an array, read slab by slab."""
    return drain(data_sha_steps(data))


def data_sha_steps(data: Any) -> Steps[str]:
    """Generator form of `data_sha`, which reads gigabytes: yields after each 32 MB."""
    digest = hashlib.sha256(f"{tuple(data.shape)}|{np.dtype(data.dtype).str}".encode())
    fresh = 0
    for index in range(data.shape[0] if data.ndim else 0):
        slab = np.ascontiguousarray(data[index])
        digest.update(slab.data)
        fresh += slab.nbytes
        if fresh >= 1 << 25:
            yield Progress(index + 1, data.shape[0], "recipe")
            fresh = 0
    if data.ndim == 0:
        digest.update(np.asarray(data).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels with their spacing and the recipe that made them.

    Parameters
    ----------
    labels
        The dense result; the array is ``labels.data``.
    spacing_um
        As `Stack.spacing_um`.
    history
        Steps that made it, first to last.
    name
        Name to show.
    """

    labels: Labels
    spacing_um: tuple[float, ...] = ()
    history: tuple[Step, ...] = ()
    name: str = ""

    @property
    def data(self) -> Any:
        """The label array."""
        return self.labels.data

    @property
    def axes(self) -> str:
        """Axes of the label array."""
        return self.labels.axes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.labels.data, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Probability of each class at each pixel.

    Parameters
    ----------
    data
        float32 array, class axis first, values 0 to 1.
    axes
        ``C`` and then the axes of the labels ("CZYX").
    class_names
        Names in the order of the class axis.
    classes
        Label value of each entry of the class axis: 0…K-1 for masks, 1…K for paint.
    spacing_um, history
        As in `Segmentation`.
    """

    data: Any
    axes: str
    class_names: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    spacing_um: tuple[float, ...] = ()
    history: tuple[Step, ...] = ()
    calibrated: bool = False

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.data, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about a stack.

    Parameters
    ----------
    labels
        Most probable class of each pixel, in the numbering of the training labels.
    probabilities
        Present where asked for.
    uncertainty
        Entropy of the probabilities divided by its maximum, 0 to 1, as a float32 stack; present where asked for.
    """

    labels: Labels
    probabilities: Probabilities | None = None
    uncertainty: Stack | None = None
    spacing_um: tuple[float, ...] = ()
    history: tuple[Step, ...] = ()
    name: str = ""

    @property
    def segmentation(self) -> Segmentation:
        """The labels with spacing and recipe, ready to write."""
        return Segmentation(self.labels, self.spacing_um, self.history, self.name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.labels.data, dtype=dtype)


@dataclass(frozen=True)
class ModelBundle:
    """A model on disk: a folder with ``model.json`` and its weights. Never a pickle.

    Parameters
    ----------
    path
        The bundle's folder.
    card
        What ``model.json`` says: learner, network, classes, normalisation, spacing trained on, scores, recipe.
    """

    path: Path
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """How good a segmentation is.

    Parameters
    ----------
    classes
        For each class by name or number: ``dice, iou, precision, recall``.
    overall
        ``accuracy, pixel_error, mean_iou, v_rand, v_info, …``; ``nan`` where undefined.
    """

    classes: Mapping[str, Mapping[str, float]]
    overall: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the keys of the public contract; undefined scores are ``None``."""
        per_class = {name: {key: _json_number(value) for key, value in scores.items()} for name, scores in self.classes.items()}
        return {"classes": per_class, **{key: _json_number(value) for key, value in self.overall.items()}}


def _json_number(value: float) -> float | None:
    return None if value != value else float(value)
