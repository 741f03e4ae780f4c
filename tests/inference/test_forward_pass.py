import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.errors import DeviceError, ParameterError
from napari_segtool.nets._forward import Forward, flushed_denormals, out_of_memory, receptive_halo, resolve_device
from napari_segtool.nets._fuse import ConvActivation, fold_batchnorm, fuse_activations
from napari_segtool.nets._reach import network_multiple
from tests.hand_models import convolution, small_unet

HAS_BFLOAT16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@pytest.mark.parametrize("spatial", [2, 3])
def test_a_folded_network_gives_the_logits_of_the_plain_one(spatial):
    network, _ = small_unet(spatial=spatial)
    batch = torch.randn(2, 1, *[24] * spatial, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(batch)
    torch.testing.assert_close(Forward(network, precision="float32").logits(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", *(["bfloat16"] if HAS_BFLOAT16 else [])])
@pytest.mark.parametrize("spatial", [2, 3])
def test_the_quick_pass_gives_the_logits_of_the_one_that_gradients_take(spatial, precision):
    forward = Forward(small_unet(spatial=spatial)[0], device="cpu", precision=precision)
    batch = torch.randn(1, 1, *[24] * spatial, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(forward.logits(batch), forward.differentiable(batch), rtol=1e-4, atol=1e-4 if precision == "float32" else 2e-2)


def test_relu_is_done_by_the_convolution_before_it_with_shared_weights():
    folded = fold_batchnorm(small_unet()[0])
    fused = fuse_activations(folded)
    assert sum(isinstance(module, ConvActivation) for module in fused.modules()) == 10
    assert not any(isinstance(module, nn.ReLU) for module in fused.modules())
    assert {weight.data_ptr() for weight in fused.parameters()} == {weight.data_ptr() for weight in folded.parameters()}


def test_folding_leaves_no_batchnorm_behind_and_the_given_network_alone():
    network, _ = small_unet()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_batchnorm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_batchnorm_that_does_not_follow_a_convolution_stays():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)).eval()
    assert isinstance(fold_batchnorm(network)[2], nn.BatchNorm2d)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (33, 16), (40, 41)])
def test_logits_have_the_size_of_the_input_whatever_that_is(shape):
    network, _ = small_unet(classes=3)
    assert Forward(network, precision="float32").logits(torch.zeros(1, 1, *shape)).shape == (1, 3, *shape)


def test_a_network_that_accepts_only_multiples_of_its_stride_is_shown_such():
    class Strict(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(1, 2, 4, stride=4)
            self.up = nn.ConvTranspose2d(2, 2, 4, stride=4)

        def forward(self, x):
            assert x.shape[-1] % 4 == x.shape[-2] % 4 == 0
            return self.up(self.down(x))

    forward = Forward(Strict(), precision="float32")
    assert forward.multiple == (4, 4)
    assert forward.logits(torch.zeros(1, 1, 10, 15)).shape == (1, 2, 10, 15)


def test_instance_normalisation_takes_pictures_smaller_than_its_stride():
    network, _ = small_unet(normalisation="instance")
    assert torch.isfinite(Forward(network, precision="float32").logits(torch.randn(1, 1, 3, 3))).all()


def test_the_reach_of_plain_convolutions_is_the_sum_of_their_half_widths():
    network = nn.Sequential(nn.Conv2d(1, 3, 7, padding=3), nn.ReLU(), nn.Conv2d(3, 2, (1, 5), padding=(0, 2)))
    assert receptive_halo(network) == (3, 5)


def test_the_reach_counts_dilation_stride_and_functional_pooling():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 2, 3, padding=2, dilation=2)
            self.deep = nn.Conv2d(2, 2, 3, padding=1)
            self.up = nn.ConvTranspose2d(2, 2, 4, stride=4)

        def forward(self, x):
            return self.up(self.deep(torch.nn.functional.max_pool2d(self.first(x), 4)))

    # One step of the deep convolution is a pooled block of 4 pixels; the first one adds its 2 on each side.
    assert network_multiple(Pooled()) == (4, 4)
    assert receptive_halo(Pooled()) == (6, 6)


@pytest.mark.parametrize("params", [{"depth": 1}, {"depth": 3}, {"spatial": 3, "depth": 2, "z_factors": "1,2"}])
def test_the_reach_of_a_unet_is_where_changing_a_pixel_first_changes_nothing(params):
    spatial = params.pop("spatial", 2)
    network, _ = small_unet(spatial=spatial, **params)
    network = network.double()
    halo, multiple = receptive_halo(network), network_multiple(network)
    side = [-(-(2 * h + 2 * m) // m) * m for h, m in zip(halo, multiple, strict=True)]
    pixels = torch.randn(1, 1, *side, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    core = [slice(n // m // 2 * m, n // m // 2 * m + m) for n, m in zip(side, multiple, strict=True)]
    (slope,) = torch.autograd.grad(network(pixels)[(0, 0, *core)].sum(), pixels)
    for axis, (c, h) in enumerate(zip(core, halo, strict=True)):
        touched = torch.nonzero(slope.abs().sum([i for i in range(slope.ndim) if i != axis + 2])).flatten()
        assert c.start - h <= int(touched.min())
        assert int(touched.max()) < c.stop + h


def test_the_reach_of_a_unet_of_depth_one_is_that_worked_out_by_hand():
    # A block of 2 pixels; 2 by the upper convolutions, so 1 coarse pixel on each side; 2 more by the lower ones: 6 fine pixels;
    # 2 by the convolutions on the way down.
    assert receptive_halo(small_unet(depth=1)[0]) == (8, 8)


def test_a_global_pool_does_not_make_the_reach_infinite():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.weigh = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            x = self.conv(x)
            return x * self.weigh(torch.nn.functional.adaptive_avg_pool2d(x, 1)).sigmoid()

    assert receptive_halo(Squeezed()) == (1, 1)


def test_gradients_flow_to_the_pixels_but_not_to_the_weights():
    forward = Forward(convolution(torch.full((1, 1, 1, 1), 3.0)), precision="float32")
    pixels = torch.ones(1, 1, 2, 2, requires_grad=True)
    forward.differentiable(pixels).sum().backward()
    assert (pixels.grad == 3).all()
    assert not any(weight.requires_grad for weight in forward.network.parameters())


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor has no bfloat16")
def test_bfloat16_logits_are_those_of_float32_to_two_digits():
    network, _ = small_unet()
    batch = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    fine, coarse = (Forward(network, device="cpu", precision=name).logits(batch) for name in ("float32", "bfloat16"))
    assert coarse.dtype == torch.float32
    assert float((fine - coarse).norm() / fine.norm()) < 0.02


def test_bfloat16_is_not_chosen_where_it_does_not_pay(monkeypatch):
    monkeypatch.setattr("napari_segtool.nets._forward.bfloat16_pays", lambda device: False)
    assert Forward(small_unet()[0], device="cpu").precision == "float32"


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor has no bfloat16")
def test_bfloat16_is_not_chosen_where_it_disagrees(monkeypatch):
    monkeypatch.setattr("napari_segtool.nets._forward.bfloat16_pays", lambda device: True)
    # The difference of two large equal sums: all that is left is rounding.
    cancelling = nn.Sequential(convolution(torch.full((2, 1, 1, 1), 1.003), (1000.0, 1000.1)), convolution(torch.tensor([[1.0, -1.0]]).reshape(1, 2, 1, 1)))
    assert Forward(cancelling, device="cpu").precision == "float32"
    assert Forward(small_unet()[0], device="cpu").precision == "bfloat16"


def test_an_unknown_precision_is_refused():
    with pytest.raises(ParameterError, match="float16"):
        Forward(small_unet()[0], precision="float16")


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", "cuda:99", "tpu", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(DeviceError) as refused:
        resolve_device(name)
    assert "cpu" in refused.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_auto_is_the_cpu_where_there_is_nothing_else_and_cuda_says_why_not(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(DeviceError, match="not there"):
        resolve_device("cuda")


def test_denormals_are_flushed_only_inside():
    tiny = np.float64(sys.float_info.min)
    before = float(tiny / 2)
    with flushed_denormals():
        inside = float(tiny / 2)
    assert inside == 0
    assert float(tiny / 2) == before != 0


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no other threads")
def test_in_a_fresh_process_all_threads_of_torch_flush_denormals():
    code = (
        "import torch\nfrom torch import nn\nfrom napari_segtool.nets._forward import Forward, flushed_denormals\n"
        "torch.set_num_threads(2)\nForward(nn.Conv2d(1, 2, 3, padding=1), device='cpu', precision='float32')\n"
        "with flushed_denormals():\n    product = torch.full((4_000_000,), 1e-39) * torch.full((4_000_000,), 0.5)\n"
        "assert not product.any(), product.count_nonzero()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_running_out_of_memory_is_told_from_other_errors():
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."))
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert not out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("module", ["inference", "explain"])
def test_waiting_threads_are_told_not_to_spin_before_torch_loads(module):
    code = f"import os, sys\nimport napari_segtool.{module}\nassert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'\nassert 'torch' not in sys.modules"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, env=environment)
