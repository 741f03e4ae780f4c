"""The map that lies over the picture: one layer for each explainer, of which the last is shown; it looks as the sliders say."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer

from napari_segtool.core.trust import TrustReport
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._explain_asked import Explained, asked_text
from napari_segtool.ui._explain_look import limits_of, overlay_colormap
from napari_segtool.ui._explain_looks import LookRows
from napari_segtool.ui._explain_show import show_outline
from napari_segtool.ui._plane_layer import maps_over, remove_layer, show_plane_map
from napari_segtool.ui._predict_models import class_names


class Overlay:
    """The layer of the map shown, and the line around the object it is about.

    Parameters
    ----------
    viewer
        Where it lies.
    looks
        Opacity and threshold.
    """

    def __init__(self, viewer: Any, looks: LookRows) -> None:
        self._viewer, self._looks = viewer, looks
        self._layer: Image | None = None
        self._outline: Layer | None = None
        self.signed = False
        self.shown: Explained | None = None
        """What the layer shows."""
        looks.changed.connect(self.look)

    @property
    def layer(self) -> Image | None:
        """The layer, if the user has not removed it."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def forget(self) -> None:
        """What is shown is about another image; the layer stays."""
        self.shown = None
        self.clear()

    def clear(self) -> None:
        """Take the line away."""
        outline, self._outline = self._outline, None
        remove_layer(self._viewer, outline)

    def show(self, image: Image, explained: Explained) -> None:
        """Lay a map over its slice; other maps are hidden, since they cover each other."""
        values, overlay = explained.values, explained.overlay
        self.signed, limits = limits_of(values)
        notes = {"axes": overlay.axes, "history": [step.as_dict() for step in overlay.memo["history"]]}
        title = overlay.name.removeprefix(image.name).strip(" ·") or "explanation"
        self._layer = show_plane_map(
            self._viewer,
            values,
            explained.plane,
            image,
            f"{image.name} · {title}",
            notes=notes,
            colormap=self._colormap(),
            contrast_limits=limits,
            opacity=self._looks.opacity.value() / 100,
            blending="translucent_no_depth",
        )
        notes_of(self._layer).pop("trust", None)
        self.shown = explained
        for layer in maps_over(self._viewer, image):
            layer.visible = layer is self._layer
        region = explained.target.region if explained.wish.kind == "object" else None
        if region is None:
            self.clear()
        else:  # the line before is moved, where it can be: napari takes its time to remove a layer
            self._outline = show_outline(self._viewer, image, explained.plane, region, explained.wish.axes)

    def judged(self, report: TrustReport) -> None:
        """Keep what was found out about the map with its layer."""
        if self._layer is not None:
            notes_of(self._layer)["trust"] = report.as_dict()

    def look(self) -> None:
        """Take over what the sliders say."""
        layer = self.layer
        if layer is not None:
            layer.opacity = self._looks.opacity.value() / 100
            layer.colormap = self._colormap()

    def text(self) -> str:
        """Say what is seen."""
        explained = self.shown
        assert explained is not None
        meaning = "Bright pixels matter most." if np.any(explained.values) else "Nothing speaks for it here."
        if self.signed:
            meaning = "Red speaks for it, blue against it."
        note = str(explained.overlay.memo.get("note", ""))
        return f"Why {why_text(explained)}: {asked_text(explained)}. {meaning} {note}".strip()

    def _colormap(self) -> Any:
        return overlay_colormap(self.signed, self._looks.threshold.value() / 100)


def why_text(explained: Explained) -> str:
    """Name the class, and the one it is set against."""
    names, wish = class_names(explained.bundle.card), explained.wish
    rather = f" rather than “{names[wish.against]}”" if wish.against in names else ""
    return f"“{names.get(wish.class_value, wish.class_value)}”{rather}"
