"""Up-convolutions that add their bias by themselves: torch's own results and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_segtool.nets._up_convolution import QuickConvTranspose2d, QuickConvTranspose3d


def pair(spatial: int, **options: object) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = (nn.ConvTranspose2d if spatial == 2 else nn.ConvTranspose3d)(3, 5, 2, stride=2, **options)
    quick = (QuickConvTranspose2d if spatial == 2 else QuickConvTranspose3d)(3, 5, 2, stride=2, **options)
    quick.load_state_dict(plain.state_dict())
    return plain.double(), quick.double()


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"output_padding": 1}], ids=str)
@pytest.mark.parametrize("spatial", [2, 3])
def test_results_and_gradients_are_those_of_torch(spatial: int, options: dict[str, object]) -> None:
    plain, quick = pair(spatial, **options)
    x = torch.randn(2, 3, *[4] * spatial, dtype=torch.float64)
    gradients = []
    for network in (plain, quick):
        given = x.clone().requires_grad_()
        result = network(given)
        result.square().sum().backward()
        gradients.append([result, given.grad, *(weight.grad for weight in network.parameters())])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("spatial", [2, 3])
def test_gradients_are_true(spatial: int) -> None:
    _, quick = pair(spatial)
    x = torch.randn(1, 3, *[2] * spatial, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *_: quick(x), (x, *quick.parameters()))


def test_a_size_can_be_asked_for_and_without_learning_torch_itself_answers() -> None:
    plain, quick = pair(2)
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(quick(x, output_size=[9, 9]), plain(x, output_size=[9, 9]))
    with torch.no_grad():
        assert torch.equal(quick(x), plain(x))


def test_the_bias_is_learned_in_bfloat16() -> None:
    _, quick = pair(2)
    quick = quick.float()
    with torch.autocast("cpu", torch.bfloat16):
        result = quick(torch.randn(2, 3, 8, 8))
    assert result.dtype == torch.bfloat16
    result.float().sum().backward()
    assert quick.bias is not None
    torch.testing.assert_close(quick.bias.grad, torch.full((5,), 2.0 * 16 * 16))
