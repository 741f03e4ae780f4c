"""Muon: the momentum of a convolution's weights, made orthogonal, is its step. Imports torch; imported only by the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

_COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the quintic that drives all singular values towards 1, as published."""
_ROUNDS = 5
_MOMENTUM, _BETAS, _TINY = 0.95, (0.9, 0.999), 1e-8
_SIZE = 0.2
"""Root mean square of a step beside that of AdamW at the same learning rate (Liu et al. 2025)."""
_FEWEST = 16
"""Weights with fewer outputs or inputs than this (the first layer, the head), and all vectors, are stepped by AdamW."""


class Muon(torch.optim.Optimizer):
    """Muon for the weights of inner layers, AdamW for all others.

    A kernel is taken as a matrix of its outputs against everything they see. Its step is the nearest orthogonal matrix to its Nesterov momentum: all
    directions are learned at one pace, not only those with the largest gradients, so that fewer steps are needed.

    Parameters
    ----------
    parameters
        Weights to train.
    lr
        Learning rate; steps are as large as AdamW's would be, so the same rates suit.
    weight_decay
        Pull of the weights towards zero, beside the step.

    Attributes
    ----------
    number_format : torch.dtype
        Of the matrix products; bfloat16 where the hardware has it.

    References
    ----------
    Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks, https://kellerjordan.github.io/posts/muon; its step beside AdamW's:
    Liu et al. 2025, Muon is scalable for LLM training, arXiv:2502.16982. AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101.

    Examples
    --------
    >>> weight = nn.Parameter(torch.zeros(16, 16))
    >>> weight.grad = torch.diag(torch.arange(1.0, 17.0))
    >>> Muon([weight], lr=1.0).step()
    >>> moved = -weight.detach().diagonal() / (0.2 * 16**0.5)
    >>> bool(((moved > 0.6) & (moved < 1.3)).all())  # one pace for all, whatever the gradients are
    True
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(list(parameters), {"lr": lr, "weight_decay": weight_decay})
        self.number_format = torch.float32
        self.found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move the weights once; on a GPU not at all where the engine has found a gradient that is not finite."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            self._turn([weight for weight in weights if _is_inner(weight)], group)
            self._step_rest([weight for weight in weights if not _is_inner(weight)], group)

    def _turn(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        keep = self._keep
        alike: dict[torch.Size, list[Tensor]] = {}
        for weight in weights:
            alike.setdefault(_as_matrix(weight).shape, []).append(weight)
        for shape, same in alike.items():
            momenta = [self._nesterov(weight) for weight in same]
            directions = orthogonal(torch.stack(momenta)) if len(same) > 1 else [orthogonal(momenta[0])]  # (K, n, m); a batch of one would be slower
            size = _SIZE * max(shape) ** 0.5
            for weight, direction in zip(same, directions, strict=True):
                kernel = weight.movedim(1, -1)
                kernel.mul_(1 - group["lr"] * group["weight_decay"] * keep).add_(direction.reshape(kernel.shape).mul(-group["lr"] * size * keep))

    @property
    def _keep(self) -> Any:
        """1, or 0 where the engine has found a gradient that is not finite: then nothing moves."""
        return 1.0 if self.found_inf is None else 1.0 - self.found_inf

    def _nesterov(self, weight: Tensor) -> Tensor:
        """Follow the gradient with the momentum of a weight and return what both say together, ``(n, m)``, in the format of the products."""
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        if self.found_inf is not None:
            gradient = torch.where(self.found_inf > 0, 0.0, gradient)
        momentum = state["momentum"].mul_(1 - (1 - _MOMENTUM) * self._keep).add_(gradient)
        return _as_matrix(torch.add(gradient, momentum, alpha=_MOMENTUM)).to(self.number_format)

    def _step_rest(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {
                    "step": torch.zeros((), device=weight.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }
        if weights:
            states = [self.state[weight] for weight in weights]
            adamw(
                weights,
                [weight.grad for weight in weights if weight.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=weights[0].device.type in ("cpu", "cuda"),
                found_inf=self.found_inf,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=_TINY,
                maximize=False,
            )


def _is_inner(weight: Tensor) -> bool:
    return weight.ndim >= 2 and min(weight.shape[0], weight[0].numel()) >= _FEWEST


def _as_matrix(weight: Tensor) -> Tensor:
    """Return a kernel as its outputs against everything they see, ``(n, m)``, in the order that needs no copy of weights in channels-last memory."""
    return weight.movedim(1, -1).flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest orthogonal matrices: all singular values between 0.7 and 1.2, by five steps of a Newton–Schulz iteration.

    Parameters
    ----------
    matrices
        ``(..., n, m)``; products are in their number format.
    """
    a, b, c = _COEFFICIENTS
    turned = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if turned else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        polynomial = (gram @ gram).mul_(c).add_(gram, alpha=b)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        x = polynomial @ x
    found: Tensor = x.mT if turned else x
    return found
