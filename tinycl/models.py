"""What `tinycl compile` takes as MODEL: an ONNX file, a YAML description, or the name of a shipped network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path

import numpy as np

from arch.errors import InputError
from compiler.network import Network
from compiler.nodes import LOSSES, NetworkError
from tinycl.arrays import load_arrays
from tinycl.networks import digits_network, reference_network, resnet8_network

BUILT: dict[str, Callable[[], Network]] = {
    "digits": digits_network,
    "reference": reference_network,
    "resnet8": resnet8_network,
}
"""Networks that need nothing else."""
TORCH = ("ds_cnn", "mobilenet", "autoencoder")
"""Networks of MLPerf Tiny that are made by PyTorch."""
SHIPPED = (*BUILT, *TORCH)
LOSS_OPTIONS = {"cross-entropy": "SoftmaxCrossEntropyLoss", "mse": "MeanSquaredError"}
"""Operators of the losses that can be added."""


@dataclass(frozen=True)
class Model:
    """A network, its parameters, and what a user should know about them, a line each.

    >>> small = Network("small", (1, 6, 6)).conv(4)
    >>> Model(small, small.initial(seed=0)).network.shape
    (4, 6, 6)
    """

    network: Network
    parameters: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def load_model(name: str, parameters: Path | None = None, seed: int = 1) -> Model:
    """The model of that file or name, with the parameters of an .npz file if one is given.

    A model without weights (a description, or an ONNX file in which each weight is one number repeated) gets random
    ones from `seed` and says so. Raises `InputError` naming what there is, or every node that is not supported.
    """
    network, own = _read(name, seed)
    if parameters is not None:
        return Model(network, load_arrays(parameters))
    if own is None:
        return Model(network, network.initial(seed), (f"{network.name}: random weights (--parameters gives others)",))
    if _filled(network, own):
        note = f"{network.name}: each weight in the file is one number repeated; random ones instead"
        return Model(network, network.initial(seed), (note,))
    return Model(network, own)


def read_network(name: str) -> Network:
    """The network of that file or name without parameters. Raises what `load_model` raises.

    >>> read_network("digits").input_shape
    (1, 8, 8)
    """
    return _read(name, 1)[0]


def load_onnx(path: str | PathLike[str]) -> Model:
    """The network and parameters of an ONNX file; random parameters, and a note, if the file has none of its own.

    `path` ends in .onnx. Raises `InputError` naming the file, or every node that is not supported.

    >>> load_onnx("net.yaml")
    Traceback (most recent call last):
    arch.errors.InputError: net.yaml: must be a file ending in .onnx
    """
    if Path(path).suffix != ".onnx":
        raise InputError(f"{path}: must be a file ending in .onnx")
    return load_model(str(path))


def add_loss(network: Network, loss: str | None) -> None:
    """End a network with the loss that it lacks: the one of `LOSS_OPTIONS`, by default softmax cross-entropy.

    Raises `NetworkError` if it ends with another one than asked for.
    """
    ends = network.nodes[-1].operator if network.nodes else ""
    if ends in LOSSES:
        if loss and LOSS_OPTIONS[loss] != ends:
            raise NetworkError(f"{network.name}: ends with {ends} already; leave out --loss {loss}")
        return
    if loss == "mse":
        network.mean_squared_error()
        return
    if ends == "Softmax" and len(network.shape) == 3:
        raise NetworkError(f"{network.last}: a training network must end with a vector of logits, not {network.shape}")
    if len(network.shape) == 3 and prod(network.shape) == network.shape[0]:
        network.flatten(name="logits")
    network.softmax_cross_entropy()


def _read(name: str, seed: int) -> tuple[Network, dict[str, np.ndarray] | None]:
    if name in BUILT:
        return BUILT[name](), None
    if name in TORCH:
        return _from_torch(name, seed)
    path = Path(name)
    if path.suffix == ".onnx":
        from compiler.onnx_import import load_onnx

        return load_onnx(path)
    if path.suffix in (".yaml", ".yml"):
        from compiler.description import load_network

        return load_network(path), None
    raise InputError(f"{name}: must be a file ending in .onnx or .yaml, or one of {', '.join(SHIPPED)}")


def _from_torch(name: str, seed: int) -> tuple[Network, dict[str, np.ndarray]]:
    from compiler.torch_export import load_torch
    from tinycl.mlperf import INPUTS, mlperf_network

    network, parameters = load_torch(mlperf_network(name, seed), INPUTS[name])
    network.name = name
    return network, parameters


def _filled(network: Network, parameters: dict[str, np.ndarray]) -> bool:
    """Whether every kernel and matrix is one number repeated."""
    weights = [parameters[name] for name, shape in network.shapes.items() if len(shape) > 1 and prod(shape) > 1]
    return bool(weights) and all(values.flat[0] == values.flat[-1] and np.ptp(values) == 0 for values in weights)
