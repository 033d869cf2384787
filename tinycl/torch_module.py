"""PyTorch modules, as `tinycl.compile` and `tinycl.sweep` take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycl.models import Model

if TYPE_CHECKING:
    from torch import nn


def load_torch(module: nn.Module, input_shape: tuple[int, ...]) -> Model:
    """The network that a PyTorch `module` computes in evaluation mode, and its parameters, by the modules' names.

    `input_shape` is (C, H, W) or (N,), without the batch. Needs the extra `torch`. Raises `InputError` in one line if
    PyTorch cannot export the module, naming every node that cannot be translated, or on weights that layers share.

    >>> from torch import nn
    >>> model = load_torch(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), (1, 6, 6))
    >>> model.network.shape, model.network.shapes
    ((4, 4, 4), {'0.weight': (4, 1, 3, 3), '0.bias': (4,)})
    """
    from compiler.torch_export import load_torch as exported

    return Model(*exported(module, input_shape))
