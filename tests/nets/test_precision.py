import json

import pytest
import torch

from napari_segtool.nets import _precision
from napari_segtool.nets._precision import bfloat16_pays

CPU = torch.device("cpu")


@pytest.fixture
def capable(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)


@pytest.mark.parametrize(("bfloat16_s", "pays"), [(0.2, True), (0.9, False), (10.0, False)])
def test_bfloat16_is_taken_only_where_it_is_clearly_faster(capable, monkeypatch, tmp_path, bfloat16_s, pays):
    monkeypatch.setattr(_precision, "_seconds", lambda dtype: bfloat16_s if dtype == torch.bfloat16 else 1.0)
    assert bfloat16_pays(CPU, tmp_path / "machine.json") is pays


def test_the_answer_is_remembered_and_not_timed_again(capable, monkeypatch, tmp_path):
    memory = tmp_path / "machine.json"
    first = bfloat16_pays(CPU, memory)
    monkeypatch.setattr(_precision, "_seconds", lambda _dtype: pytest.fail("timed again"))
    assert bfloat16_pays(CPU, memory) is first
    assert list(json.loads(memory.read_text()).values()) == [first]


def test_a_damaged_memory_is_made_anew(capable, monkeypatch, tmp_path):
    memory = tmp_path / "machine.json"
    memory.write_text("[nonsense")
    monkeypatch.setattr(_precision, "_seconds", lambda dtype: 0.1 if dtype == torch.bfloat16 else 1.0)
    assert bfloat16_pays(CPU, memory)
    assert json.loads(memory.read_text())


def test_hardware_without_bfloat16_is_never_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not bfloat16_pays(CPU, tmp_path / "machine.json")
