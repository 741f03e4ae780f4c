"""The many settings of a learner by topic: each topic folds, and says how many of its settings were changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtWidgets import QFormLayout

from napari_segtool.core.params import FieldInfo, Params, describe
from napari_segtool.core.registry import AUGMENTATIONS, LOSSES
from napari_segtool.ui._fields import NumberField, TextField
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._form import ParamsForm, form_layout

TOPICS: Mapping[str, tuple[str, ...]] = {
    "Network": (
        "network",
        "depth",
        "z_factors",
        "neighbours",
        "normalisation",
        "activation",
        "residual",
        "deep_supervision",
        "dropout",
        "initialisation",
        "retain",
    ),
    "Patches": ("patch_px", "patch_planes", "batch", "accumulate", "grey_values", "precision"),
    "Loss and weights": ("loss", "class_balance", "border_weight", "border_sigma_px"),
    "Optimiser": (
        "optimiser",
        "learning_rate",
        "momentum",
        "nesterov",
        "weight_decay",
        "schedule",
        "warm_up",
        "gradient_limit",
        "average_steps",
    ),
    "Augmentation": (
        "turn",
        "flips",
        "rotation_deg",
        "tilt_deg",
        "scale",
        "shear_deg",
        "shift",
        "elastic_px",
        "elastic_sigma_px",
        "elastic_grid",
        "effects",
        "intensity",
    ),
    "Validation": ("metric", "patience_steps", "mirror"),
}
_ABOUT = {
    "Network": "How the network is built: levels, normalisation, dropout, first weights.",
    "Patches": "What it learns from at a time: size and number of patches, scale of the grey values, number format.",
    "Loss and weights": "What is made small, and how much classes and the gaps between objects count.",
    "Optimiser": "How the weights of the network follow the gradient: learning rate, schedule, averaging.",
    "Augmentation": "How patches are varied, so that it does not learn them by heart.",
    "Validation": "Which score on held-out pixels decides, when to end early, and how predictions are made.",
    "More": "Everything else.",
}
_CHOSEN = ("patch_px", "patch_planes", "batch", "depth", "dropout", "border_weight")
"""Settings whose smallest number means that they are chosen from the images."""
_NAMED = {"loss": ("Losses", LOSSES), "effects": ("Effects", AUGMENTATIONS)}
"""Settings written with names of entries."""
_TOPIC_OF = {name: topic for topic, names in TOPICS.items() for name in names}


class TopicForm(ParamsForm):
    """A form of many settings: the advanced ones stand in one fold for each topic.

    Parameters
    ----------
    params_class
        The declaration.
    """

    def __init__(self, params_class: type[Params]) -> None:
        self._rows: dict[str, QFormLayout] = {}
        self.topics: dict[str, Fold] = {}
        self._defaults = {info.name: info.default for info in describe(params_class)}
        super().__init__(params_class)
        self.topics = {topic: self.topics[topic] for topic in (*TOPICS, "More") if topic in self.topics}
        for fold in self.topics.values():
            self.fold.content.layout().addRow(fold)
        self.changed.connect(self._count)
        self._count()

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show ``values``, as `ParamsForm` does."""
        super().set_values(values)
        self._count()

    def _add(self, info: FieldInfo, layout: QFormLayout) -> None:
        super()._add(info, self._topic_rows(_TOPIC_OF.get(info.name, "More")) if info.advanced else layout)
        field = self.fields[info.name]
        if info.name in _NAMED and isinstance(field, TextField):
            title, registry = _NAMED[info.name]
            field.box.setToolTip(f"{info.help}\n{title}: {', '.join(registry.names())}.")
        if info.name in _CHOSEN and info.default == info.minimum and isinstance(field, NumberField):
            field.box.setSpecialValueText("auto")

    def _topic_rows(self, topic: str) -> QFormLayout:
        if topic not in self._rows:
            fold, rows = Fold(topic), form_layout()
            fold.button.setToolTip(_ABOUT[topic])
            fold.setContentLayout(rows)
            self.topics[topic], self._rows[topic] = fold, rows
        return self._rows[topic]

    def _count(self, _: str = "") -> None:
        """Say in each heading how many settings are not as they come."""
        changed = [name for name, value in self.values().items() if value != self._defaults[name]]
        for topic, fold in self.topics.items():
            count = sum(_TOPIC_OF.get(name, "More") == topic for name in changed if name in self.fields)
            fold.set_title(f"{topic} · {count} changed" if count else topic)
