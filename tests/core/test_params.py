from typing import Literal

import pytest

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, describe, param
from napari_segtool.core.registry import Registry


class Example(Params):
    clusters: int = param(4, "Number of clusters.", ge=2, le=16)
    smoothing_um: float = param(0.5, "Gaussian width.", unit="µm", ge=0, le=50, advanced=True)
    polarity: Literal["dark", "bright"] = param("dark", "What is looked for.")
    fill: bool = param(True, "Whether holes are filled.")
    seeds: str = param("", "Where to start.", kind="points")


def test_a_description_holds_what_forms_and_the_command_line_need():
    fields = {field.name: field for field in describe(Example)}
    smoothing = fields["smoothing_um"]
    assert (smoothing.kind, smoothing.unit, smoothing.minimum, smoothing.maximum, smoothing.advanced) == ("float", "µm", 0, 50, True)
    assert (smoothing.label, smoothing.option) == ("Smoothing", "--smoothing-um")
    assert fields["polarity"].choices == ("dark", "bright")
    assert [fields[name].kind for name in ("clusters", "fill", "seeds")] == ["int", "bool", "points"]


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"clusters": 99}, "clusters = 99", "2 to 16"),
        ({"cluster": 3}, "no parameter 'cluster'", "Did you mean 'clusters'"),
        ({"polarity": "grey"}, "polarity = 'grey'", "dark, bright"),
        ({"clusters": "many"}, "clusters = 'many'", "2 to 16"),
        ({"smoothing_um": float("nan")}, "smoothing_um", "0 to 50 µm"),
    ],
)
def test_a_wrong_value_is_named_and_the_hint_says_what_is_allowed(values, message, hint):
    with pytest.raises(ParameterError) as caught:
        Example.build(**values)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_text_from_the_command_line_becomes_numbers():
    assert Example.build(clusters="8", fill="no") == Example(clusters=8, fill=False)


def test_parameters_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        Example().clusters = 5


def test_a_registry_refuses_two_entries_of_one_name_and_names_the_nearest():
    registry = Registry("method", "napari_segtool.annotate")
    registry.register("otsu", title="Otsu", summary="", params=Example)(lambda: None)
    with pytest.raises(ValueError, match="twice"):
        registry.register("otsu", title="Otsu", summary="", params=Example)(lambda: None)
    with pytest.raises(ParameterError) as caught:
        registry.get("otsus")
    assert "'otsu'" in caught.value.hint


def test_a_name_is_found_however_its_words_are_joined():
    registry = Registry("method", "napari_segtool.annotate")
    registry.register("region-growing", title="Region growing", summary="", params=Example)(lambda: None)
    assert {registry.get(name).name for name in ("region-growing", "region_growing", "RegionGrowing")} == {"region-growing"}
