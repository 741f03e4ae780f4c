"""Depthwise convolutions whose gradients take another way are the same convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_segtool.nets._depthwise import QuickDepthwise2d, _Depthwise, _of_strided_input, _of_weight

FORMS = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)]


def pair(kernel: int, stride: int, padding: int) -> tuple[QuickDepthwise2d, nn.Conv2d]:
    torch.manual_seed(0)
    quick = QuickDepthwise2d(6, kernel, stride, padding)
    plain = nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=False)
    plain.load_state_dict(quick.state_dict())
    return quick, plain


def gradients(layer: nn.Module, x: torch.Tensor, *, autocast: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = layer(x)
    y.float().mul(torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad.float(), next(layer.parameters()).grad


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("size", [(11, 14), (12, 9)])
def test_results_and_gradients_in_bfloat16_are_those_of_the_plain_layer_in_float32(kernel: int, stride: int, padding: int, size: tuple[int, int]) -> None:
    quick, plain = pair(kernel, stride, padding)
    with torch.no_grad():
        for layer in (quick, plain):
            layer.weight.copy_(layer.weight.bfloat16().float())
    x = torch.randn(3, 6, *size).bfloat16().float().contiguous(memory_format=torch.channels_last)
    for found, wanted in zip(gradients(quick, x, autocast=True), gradients(plain, x, autocast=False), strict=True):
        assert found.shape == wanted.shape
        assert (found.float() - wanted).abs().max() <= 0.02 * wanted.abs().max()


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
def test_the_arithmetic_is_exact_in_float64(kernel: int, stride: int) -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(2, 3, 10, 13, dtype=torch.float64), torch.randn(3, 1, kernel, kernel, dtype=torch.float64)
    y = nn.functional.conv2d(x.requires_grad_(), weight.requires_grad_(), stride=stride, groups=3)
    gradient = torch.randn_like(y)
    of_input, of_weight = torch.autograd.grad(y, (x, weight), gradient)
    with torch.no_grad():
        assert torch.allclose(_of_weight(gradient, x, weight, stride).double(), of_weight, rtol=1e-5, atol=1e-5)
        if stride == 2:
            assert torch.allclose(_of_strided_input(gradient, x, weight), of_input)


def test_outside_of_learning_in_bfloat16_torch_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = pair(5, 2, 2)
    x = torch.randn(1, 6, 16, 16)
    monkeypatch.setattr(_Depthwise, "apply", None)
    assert torch.equal(quick(x), plain(x))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quick(x), plain(x))


def test_a_frozen_layer_passes_the_gradient_on() -> None:
    quick, plain = pair(5, 1, 2)
    quick.requires_grad_(False)
    x = torch.randn(1, 6, 16, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        quick(x).float().sum().backward()
    wanted = torch.randn(1, 6, 16, 16, requires_grad=True)
    plain(wanted).sum().backward()
    assert x.grad is not None
    assert wanted.grad is not None
    assert torch.allclose(x.grad, wanted.grad, atol=0.03)
    assert quick.weight.grad is None
