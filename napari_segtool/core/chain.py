"""A chain of entries with their parameters: filters before a method, post-processing after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import Registry


@dataclass(frozen=True)
class Link:
    """One entry of a chain.

    Parameters
    ----------
    name
        Name of the entry in its registry.
    params
        Its parameters; what is left out has its default.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


Chain = Iterable[Link | str | tuple[str, Mapping[str, Any]]]
"""Links in order, each as a `Link`, as ``(name, params)``, or as text like ``gaussian:sigma_px=2,volume=true``."""


def parse_chain(chain: Chain, registry: Registry) -> tuple[Link, ...]:
    """Return the links of a chain, with names and parameters checked.

    Raises
    ------
    ParameterError
        If an entry or one of its parameters is not known or not allowed.

    Examples
    --------
    >>> from napari_segtool.core.registry import FILTERS
    >>> parse_chain(["gaussian:sigma-px=3"], FILTERS)[0].params["sigma_px"]
    3.0
    """
    links = []
    for written in chain if not isinstance(chain, str) else [chain]:
        link = _parse(written) if isinstance(written, str) else written if isinstance(written, Link) else Link(*written)
        entry = registry.get(link.name)
        links.append(Link(entry.name, entry.params.build(**link.params).model_dump(mode="json")))
    return tuple(links)


def _parse(text: str) -> Link:
    name, _, rest = text.partition(":")
    params = {}
    for word in filter(None, (word.strip() for word in rest.split(","))):
        key, equals, value = word.partition("=")
        if not equals:
            raise ParameterError(f"{word!r} in {text!r} has no value.", hint="Write NAME:key=value,key=value, for example gaussian:sigma_px=2.")
        params[key.strip().replace("-", "_")] = value.strip()
    return Link(name.strip(), params)
