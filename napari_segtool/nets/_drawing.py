"""What is known about a network before it is trained, for panels and tables; no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

Shape = tuple[int, ...]


@dataclass(frozen=True)
class DrawnLayer:
    """One layer, in the order they work.

    Parameters
    ----------
    name, block
        Its own name, and that of the block it is part of, as explainers know it ("down.0").
    kind
        What it does, for people ("conv 3×3").
    shape_in, shape_out
        ``(C, [Z,] Y, X)`` for one patch.
    parameters
        Numbers it learns.
    level
        How often the picture has been made smaller where it works.
    """

    name: str
    block: str
    kind: str
    shape_in: Shape
    shape_out: Shape
    parameters: int
    level: int


@dataclass(frozen=True)
class DrawnBlock:
    """Layers that belong together; ``summary`` lists what they do, the other fields are as for `DrawnLayer`."""

    name: str
    summary: str
    shape_in: Shape
    shape_out: Shape
    parameters: int
    level: int


@dataclass(frozen=True)
class Skip:
    """Features that are handed on past the blocks between.

    Parameters
    ----------
    source, target
        The block they come from, and the one that joins them to what came the long way.
    shape
        ``(C, [Z,] Y, X)`` where they come from.
    """

    source: str
    target: str
    shape: Shape


@dataclass(frozen=True)
class ReceptiveField:
    """How far the logit looks that looks farthest, far from the border; which one that is depends on how poolings fall.

    Parameters
    ----------
    stated_px
        Pixels along each spatial axis by the arithmetic of the layers; empty for a network that does not tell.
    measured_px
        The same as gradients find it; 0 along an axis where measuring would take too long.
    """

    stated_px: Shape
    measured_px: Shape

    @property
    def px(self) -> Shape:
        """The stated field, else the measured one."""
        return self.stated_px or self.measured_px


@dataclass(frozen=True)
class NetworkDrawing:
    """A network for one size of patch.

    Parameters
    ----------
    network, title, params
        Entry of `NETWORKS`, its name for people, and its parameters.
    channels, classes, spatial
        Input channels (with those of neighbouring slices), output classes, 2 or 3.
    patch_px, batch
        Pixels of a patch along each spatial axis, and how many are learned from at once.
    blocks, layers, skips
        What it is made of, in the order it works.
    receptive_field
        How much one logit sees.
    multiple
        Total stride along each spatial axis.
    parameters
        Numbers it learns, those of coarser outputs for training among them.
    training_bytes
        Memory of one training step in float32: weights, gradients, two moments and an average of each weight, feature maps.
    prediction_bytes
        Memory of the forward pass of as many patches. Neither counts what libraries take while they work on one layer.
    """

    network: str
    title: str
    params: Mapping[str, Any]
    channels: int
    classes: int
    spatial: int
    patch_px: Shape
    batch: int
    blocks: tuple[DrawnBlock, ...]
    layers: tuple[DrawnLayer, ...]
    skips: tuple[Skip, ...]
    receptive_field: ReceptiveField
    multiple: Shape
    parameters: int
    training_bytes: int
    prediction_bytes: int

    def record(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read back what `record` gave, also after it was JSON."""
        return cls(
            **{
                **record,
                "patch_px": tuple(record["patch_px"]),
                "multiple": tuple(record["multiple"]),
                "blocks": tuple(DrawnBlock(**_with_shapes(each)) for each in record["blocks"]),
                "layers": tuple(DrawnLayer(**_with_shapes(each)) for each in record["layers"]),
                "skips": tuple(Skip(**_with_shapes(each)) for each in record["skips"]),
                "receptive_field": ReceptiveField(**_with_shapes(record["receptive_field"])),
            }
        )


def _with_shapes(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
