"""What looks inside a network runs in the warm child too."""

import json
import os

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool._worker_client import WorkerClient
from napari_segtool._worker_pack import INSIDE, pack, unpack
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.trust import TrustParams
from tests.hand_models import saved_unet

STACK = Stack(np.random.default_rng(0).integers(0, 200, (3, 40, 50)).astype(np.uint8), "ZYX", (0.05, 0.004, 0.004), "em")
REGION = Region(np.ones((1, 6, 7), bool), (2, 10, 20))
QUESTIONS = {
    "layers": ((), {}),
    "filters": ((), {"layer": "bottom"}),
    "activations": ((STACK,), {"layer": "up.0", "plane": (2,), "features": (0, 3)}),
    "patches": ((STACK, Stack(STACK.data[1], "YX")), {"layer": "down.1", "feature": 1, "count": 3}),
    "receptive_field": ((STACK,), {"target": (1, 20, 30), "draws": 2}),
    "trust": ((STACK,), {"explainer": "gradient", "target": Target(2, region=REGION), "trust": TrustParams(layers=1, steps=4, draws=1), "show": "sign"}),
    "similar_places": ((STACK,), {"region": REGION, "count": 4}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_unet(tmp_path_factory.mktemp("models") / "flat", values=(1, 2))


@pytest.fixture(scope="module")
def client():
    with WorkerClient(threads=1) as client:
        yield client


def close(here, there):
    """Whether two answers are the same, up to what threads and tiles round."""
    if isinstance(here, dict):
        if "file" in here:
            return np.allclose(ARRAYS[here["file"]], ARRAYS[there["file"]], rtol=1e-3, atol=1e-4)
        return here.keys() == there.keys() and all(close(here[name], there[name]) for name in here)
    if isinstance(here, list):
        return len(here) == len(there) and all(map(close, here, there))
    return here == pytest.approx(there, rel=1e-3, abs=1e-4, nan_ok=True) if isinstance(here, float) else here == there


ARRAYS: dict[str, np.ndarray] = {}


def flat(answer, prefix):
    def save(array):
        name = f"{prefix}{len(ARRAYS)}"
        ARRAYS[name] = array
        return name

    return pack(answer, save)


@pytest.mark.parametrize("verb", INSIDE)
def test_the_answer_of_the_child_is_the_one_made_here(client, model, verb):
    images, arguments = QUESTIONS[verb]
    there = drain(client.inside_steps(verb, model, *images, device="cpu", precision="float32", **arguments))
    shown = [list(images)] if verb == "patches" else images
    here = drain(getattr(api, f"{verb}_steps")(model, *shown, device="cpu", **arguments))
    assert type(there) is type(here)
    assert close(flat(here, "here"), flat(there, "there"))
    assert os.listdir(client._child.folder) == []


def test_files_are_read_in_the_child(client, model, tmp_path):
    api.write(STACK, tmp_path / "stack.tif")
    found = drain(client.inside_steps("patches", model, tmp_path / "stack.tif", device="cpu", layer="bottom", feature=0, count=1))
    assert found[0].pixels.dtype == np.uint8


def test_errors_come_through_and_a_question_can_be_left(client, model):
    with pytest.raises(ParameterError, match="attic"):
        drain(client.inside_steps("activations", model, STACK, device="cpu", layer="attic"))
    with pytest.raises(ParameterError, match="dance"):
        drain(client.inside_steps("dance", model))
    steps = client.inside_steps("patches", model, STACK, STACK, device="cpu", layer="bottom", feature=0)
    for _ in range(2):  # started, and the model is loading
        next(steps)
    steps.close()
    drain(client.inside_steps("layers", model, device="cpu"))
    assert os.listdir(client._child.folder) == []


def test_whatever_is_packed_comes_out_as_it_was():
    arrays = []

    def save(array):
        arrays.append(array)
        return str(len(arrays) - 1)

    value = {"a": (1, 2.5, None, True), "b": [np.float32(3), REGION, STACK], "c": Target(1, (1, 2, 3))}
    read = unpack(json.loads(json.dumps(pack(value, save))), lambda name: arrays[int(name)])
    assert read["a"] == value["a"]
    assert read["b"][0] == 3
    np.testing.assert_array_equal(read["b"][1].mask, REGION.mask)
    np.testing.assert_array_equal(read["b"][2].data, STACK.data)
    assert (read["b"][2].axes, read["b"][2].spacing_um, read["c"]) == (STACK.axes, STACK.spacing_um, value["c"])
    with pytest.raises(TypeError, match="object"):
        pack(object(), save)
