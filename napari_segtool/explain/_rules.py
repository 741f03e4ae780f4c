"""Other rules for how a derivative passes an activation on its way back: those of DeconvNet and of guided backpropagation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

_RECTIFIERS = frozenset({"relu", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "softplus"})


class BackwardRule(TorchFunctionMode):
    """While it is entered, whatever rectifier a network computes gets another derivative; nothing is changed on the network.

    With ``f`` what the rectifier gave and ``R`` what comes back to it, it passes on

    - guided: ``(f > 0) · (R > 0) · R``,
    - not guided, as DeconvNet: ``(R > 0) · R``,

    whether it is a ReLU or one of its relatives (leaky, ELU, GELU, …), a module or a function, in place or not.

    Parameters
    ----------
    guided
        Which rule.

    Examples
    --------
    >>> x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    >>> with BackwardRule(guided=False):
    ...     f = torch.relu(x)
    >>> (f * torch.tensor([1.0, 1.0, -1.0])).sum().backward()
    >>> x.grad
    tensor([1., 1., 0.])
    """

    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        self._guided = guided

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute a rectifier under the rule, and everything else as it is."""
        kwargs, name = dict(kwargs or {}), getattr(function, "__name__", "").removesuffix("_")
        if name not in _RECTIFIERS and not (name == "hardtanh" and kwargs.get("min_val") == 0):  # ReLU6
            return function(*args, **kwargs)
        x, rest = (args[0], args[1:]) if args else (kwargs.pop("input"), ())
        alone = function.__name__.endswith("_") or kwargs.get("inplace") or True in rest  # in place: x is kept from it
        rectify = partial(_rectified, function, rest, kwargs, alone)
        return _Passed.apply(x, rectify, self._guided)  # type: ignore[no-untyped-call]


def _rectified(function: Callable[..., Tensor], rest: tuple[Any, ...], kwargs: dict[str, Any], alone: bool, x: Tensor) -> Tensor:
    return function(x.clone() if alone else x, *rest, **kwargs)


class _Passed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, rectify: Callable[[Tensor], Tensor], guided: bool) -> Tensor:
        f = rectify(x)  # made here: what is handed in would come out as a view, whose strides slow the layers behind it
        ctx.save_for_backward(*([f] if guided else []))
        return f

    @staticmethod
    def backward(ctx: Any, *back: Tensor) -> tuple[Tensor, None, None]:
        positive = back[0].clamp_min(0)
        for f in ctx.saved_tensors:
            positive = torch.ops.aten.threshold_backward(positive, f, 0)
        return positive, None, None
