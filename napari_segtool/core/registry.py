"""One file adds one thing: the registries that panels, command line, docs and contract tests are made from."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered method, filter, learner, network, explainer, metric or sample.

    Parameters
    ----------
    name
        Name on the command line and in recipes ("kmeans").
    title
        Name in the window ("k-means").
    summary
        What it is good for, in one line.
    function
        What runs; its signature is fixed by its registry.
    params
        Its parameters.
    family
        Group in the chooser ("threshold", "edges", "clustering", …).
    dimensions
        Spatial dimensions it works in: ``(2,)``, ``(3,)`` or ``(2, 3)``.
    reference
        Publication, with DOI where there is one.
    phantom
        Name of the test picture that it must solve.
    traits
        What it needs or promises, for panels, command line and contract tests: ``seeds`` (clicked places), ``paint``, ``labels``,
        ``probabilities`` (see `core.given`), ``keeps-type``, ….
    aliases
        Other names that people type for it ("normalize", "tv").
    """

    name: str
    title: str
    summary: str
    function: Callable[..., Any]
    params: type[Params]
    family: str = ""
    dimensions: tuple[int, ...] = (2, 3)
    reference: str = ""
    phantom: str = ""
    traits: frozenset[str] = field(default_factory=frozenset)
    aliases: tuple[str, ...] = ()


class Registry:
    """The entries of one kind; the folder that defines them is imported at the first look.

    Parameters
    ----------
    kind
        Singular word for messages ("method").
    packages
        Dotted names of the folders whose files register entries.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self._packages = packages
        self._entries: dict[str, Entry] = {}
        self._loaded = False

    def register(self, name: str, *, title: str, summary: str, params: type[Params], **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate the function of a new entry; the keywords are those of `Entry`."""

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            traits = frozenset(more.pop("traits", ()))
            self._entries[name] = Entry(name=name, title=title, summary=summary, function=function, params=params, traits=traits, **more)
            return function

        return add

    def get(self, name: str) -> Entry:
        """Return the entry called ``name`` (``grad_cam`` finds ``gradcam``), or raise `ParameterError` with the nearest name."""
        self._load()
        alike = [known for known, entry in self._entries.items() if plain(name) in map(plain, (known, *entry.aliases))]
        if name not in self._entries and len(alike) == 1:
            return self._entries[alike[0]]
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"There is no {self.kind} {name!r}.", hint=f"{hint}Choose one of: {', '.join(self.names())}.")
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Names of all entries, sorted."""
        self._load()
        return tuple(sorted(self._entries))

    def __iter__(self) -> Iterator[Entry]:
        return iter([self._entries[name] for name in self.names()])

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for name in self._packages:
            package = importlib.import_module(name)
            for module in pkgutil.iter_modules(package.__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"{name}.{module.name}")


def plain(name: str) -> str:
    """Return a name without case, dashes and underscores, for telling whether two mean the same; a plus is part of a name.

    Examples
    --------
    >>> plain("Region_growing") == plain("region-growing")
    True
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")


METHODS = Registry("method", "napari_segtool.methods", "napari_segtool.objects")
FILTERS = Registry("filter", "napari_segtool.preprocess")
NETWORKS = Registry("network", "napari_segtool.nets")
LEARNERS = Registry("learner", "napari_segtool.training.learners")
LOSSES = Registry("loss", "napari_segtool.training.losses")
AUGMENTATIONS = Registry("augmentation", "napari_segtool.training.augment")
EXPLAINERS = Registry("explainer", "napari_segtool.explain")
METRICS = Registry("metric", "napari_segtool.evaluate")
SAMPLES = Registry("sample", "napari_segtool.io.samples")
