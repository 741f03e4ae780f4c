import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain._rules import BackwardRule
from tests.hand_models import convolution, loaded_by_hand


def explained(network, pixels, explainer, target, **params):
    model = loaded_by_hand(network)
    return drain(explain_steps(model.bundle, Stack(pixels, "YX"), explainer, target, loaded=model, show="sign", **params)).data


def worked_out(activation):
    """Three features of a pixel x: x, x and -x, then a rectifier; two of their sums, and the class's logit is the first less the second.

    For x = 2 the features are f = (2, 2, 0). Class 1's logit is 3·g₁ - 5·g₂ with g₁ = relu(f₁ - f₃) and g₂ = relu(f₂).
    """
    first = convolution(torch.tensor([1.0, 1.0, -1.0]).reshape(3, 1, 1, 1))
    second = convolution(torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]).reshape(2, 3, 1, 1))
    head = convolution(torch.tensor([[0.0, 0.0], [3.0, -5.0]]).reshape(2, 2, 1, 1))
    return nn.Sequential(first, activation(), second, activation(), head)


@pytest.mark.parametrize("activation", [nn.ReLU, lambda: nn.ReLU(inplace=True)])
def test_the_rules_worked_out_by_hand(activation):
    # At the logit R = (3, -5). Both g are above 0: the derivative goes on as (3, -5), both rules let (3, 0) through.
    # Before the second convolution R = (3, 0, -3) under the rules and (3, -5, -3) without; f = (2, 2, 0).
    # The derivative: (3, -5, 0) -> x: 3 - 5 = -2. Guided: (f>0)(R>0)R = (3, 0, 0) -> 3. DeconvNet: (R>0)R = (3, 0, 0) -> 3.
    pixels = np.full((1, 1), 2.0, np.float32)
    for name, expected in (("gradient", -2), ("guided-backprop", 3), ("deconvnet", 3)):
        assert explained(worked_out(activation), pixels, name, Target(1, point=(0, 0))).item() == expected
    # For x = -2, f = (0, 0, 2), g = (0, 0): nothing goes on but what DeconvNet, which does not look at f or g, lets through.
    pixels = -pixels
    for name, expected in (("gradient", 0), ("guided-backprop", 0), ("deconvnet", 3)):
        assert explained(worked_out(activation), pixels, name, Target(1, point=(0, 0))).item() == expected


def rectifiers():
    modules = [nn.LeakyReLU(0.1), nn.LeakyReLU(0.1, inplace=True), nn.ELU(), nn.ELU(inplace=True), nn.GELU(), nn.SiLU(), nn.PReLU(), nn.ReLU6(), nn.Mish()]
    functions = [torch.relu, F.relu, lambda x: F.relu(x, inplace=True), lambda x: F.leaky_relu(x, 0.1, True), lambda x: x.relu(), F.gelu, torch.relu_, F.elu_]
    return [*modules, *functions]


@pytest.mark.parametrize("which", range(len(rectifiers())))
@pytest.mark.parametrize("guided", [True, False])
def test_every_rectifier_obeys_whether_module_or_function_in_place_or_not(which, guided):
    rectify = rectifiers()[which]
    x = torch.tensor([-2.0, -0.5, 0.7, 3.0, -1.0, 2.0], requires_grad=True)
    back = torch.tensor([1.0, -1.0, 2.0, -3.0, 4.0, 5.0])
    with torch.no_grad():
        plain = rectify(x.detach().clone())
    with BackwardRule(guided=guided):
        f = rectify(x * 1)
    np.testing.assert_array_equal(f.detach().numpy(), plain.numpy())
    (slope,) = torch.autograd.grad((f * back).sum(), x)
    expected = back.clamp_min(0) * ((plain > 0) if guided else 1)
    np.testing.assert_array_equal(slope.numpy(), expected.numpy())


def test_what_is_no_rectifier_keeps_its_derivative():
    x = torch.tensor([0.3, -0.4], requires_grad=True)
    for compute in (torch.sigmoid, torch.tanh, torch.exp, lambda x: F.avg_pool1d(x[None], 2), lambda x: x.softmax(0) @ torch.tensor([1.0, 3.0])):
        (expected,) = torch.autograd.grad(compute(x).sum(), x)
        with BackwardRule(guided=True):
            made = compute(x).sum()
        np.testing.assert_array_equal(torch.autograd.grad(made, x)[0].numpy(), expected.numpy())


def test_a_network_of_any_activation_is_explained_by_the_rules():
    for activation in (nn.LeakyReLU, nn.ELU, nn.GELU):
        drawn = explained(worked_out(activation), np.full((1, 1), 2.0, np.float32), "guided-backprop", Target(1, point=(0, 0)))
        assert drawn.item() == pytest.approx(3)
