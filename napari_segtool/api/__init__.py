"""The public verbs, each twice: ``segment_steps`` yields progress, ``segment`` runs it in place.

A path is accepted wherever a `Stack` is. Libraries that are slow to load are loaded by the verb that needs them.
"""

from napari_segtool.api._augmentation import preview_augmentation, preview_augmentation_steps
from napari_segtool.api._classical import apply_filter, apply_filter_steps, prepare_steps, segment, segment_rule_steps, segment_steps
from napari_segtool.api._compare import Candidate, compare_slice, compare_slice_steps
from napari_segtool.api._files import read, sample, write
from napari_segtool.api._inside import (
    activations,
    activations_steps,
    filters,
    filters_steps,
    layers,
    layers_steps,
    patches,
    patches_steps,
    receptive_field,
    receptive_field_steps,
    similar_places,
    similar_places_steps,
    trust,
    trust_steps,
)
from napari_segtool.api._learning import explain, explain_steps, predict, predict_steps, train, train_steps
from napari_segtool.api._networks import describe_network, describe_network_steps
from napari_segtool.api._planned_network import planned_network, planned_network_steps
from napari_segtool.api._propose import propose, propose_steps
from napari_segtool.api._range_test import rate_range, rate_range_steps
from napari_segtool.api._repeat import repeat, repeat_steps
from napari_segtool.api._runs import runs_history
from napari_segtool.api._scores import evaluate, evaluate_steps
from napari_segtool.api._sources import Image, Marks, trimmed
from napari_segtool.api._weight_map import weight_map, weight_map_steps

__all__ = [
    "Candidate",
    "Image",
    "Marks",
    "activations",
    "activations_steps",
    "apply_filter",
    "apply_filter_steps",
    "compare_slice",
    "compare_slice_steps",
    "describe_network",
    "describe_network_steps",
    "evaluate",
    "evaluate_steps",
    "explain",
    "explain_steps",
    "filters",
    "filters_steps",
    "layers",
    "layers_steps",
    "patches",
    "patches_steps",
    "planned_network",
    "planned_network_steps",
    "predict",
    "predict_steps",
    "prepare_steps",
    "preview_augmentation",
    "preview_augmentation_steps",
    "propose",
    "propose_steps",
    "rate_range",
    "rate_range_steps",
    "read",
    "receptive_field",
    "receptive_field_steps",
    "repeat",
    "repeat_steps",
    "runs_history",
    "sample",
    "segment",
    "segment_rule_steps",
    "segment_steps",
    "similar_places",
    "similar_places_steps",
    "train",
    "train_steps",
    "trimmed",
    "trust",
    "trust_steps",
    "weight_map",
    "weight_map_steps",
    "write",
]
