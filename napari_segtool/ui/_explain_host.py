"""What the parts of the Explain panel may ask of the panel: one question at a time, with progress and Stop at its foot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from napari.layers import Image
from qtpy.QtWidgets import QWidget

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.ui._explain_asked import Wish
from napari_segtool.ui._explain_layers import LayerNames
from napari_segtool.ui._jobs import MakeSteps
from napari_segtool.ui._predict_worker import NetworkProcess
from napari_segtool.ui._session import Session


@dataclass(frozen=True, eq=False)
class Ready:
    """A model and an image that fit each other."""

    bundle: ModelBundle
    image: Image
    stack: Stack


class Host(Protocol):
    """The Explain panel, as its parts see it."""

    viewer: Any
    process: NetworkProcess
    names: LayerNames
    session: Session

    @property
    def plane(self) -> PlaneIndex:
        """The slice shown."""
        ...

    @property
    def pixel(self) -> tuple[int, ...] | None:
        """The pixel clicked last."""
        ...

    def ready(self) -> Ready | None:
        """Return what there is to ask, or say what is missing."""
        ...

    def wish(self, ready: Ready) -> Wish | None:
        """Return what is pointed at, or say what is missing."""
        ...

    def ask(self, make_steps: MakeSteps, on_result: Callable[[Any], object], what: str) -> None:
        """Ask instead of whatever is asked now."""
        ...

    def done(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Say what came out."""
        ...

    def missing(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Say what is missing."""
        ...

    def guarded(self, action: Callable[[], object]) -> None:
        """Do something quick; errors are said."""
        ...

    def go_to(self, name: str) -> Callable[[], None]:
        """Return an action that raises another panel's tab."""
        ...

    def reveal(self, part: QWidget) -> None:
        """Scroll to a part of the panel that has just appeared."""
        ...
