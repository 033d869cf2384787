"""A network as YAML: a name, an input shape, and a list of layers: the builder's methods with their own arguments.

    name: small
    input: [1, 8, 8]
    layers:
      - conv: {filters: 4, bias: true, name: first}
      - relu
      - conv: {filters: 4, kernel: [3, 1]}
      - add: {first: relu1, second: conv2}
      - dense: {outputs: 10}
      - softmax_cross_entropy

A layer without arguments is its name alone. Extents of height and width are one integer or a list of two.
"""

from __future__ import annotations

import inspect
import typing
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from compiler.dag import MOST_NODES
from compiler.network import Network, NetworkError

LAYERS = (
    "add",
    "average_pool",
    "batch_norm",
    "channel_shuffle",
    "clip",
    "concat",
    "conv",
    "dense",
    "depthwise",
    "dropout",
    "flatten",
    "global_average_pool",
    "identity",
    "leaky_relu",
    "lrn",
    "max_pool",
    "mean_squared_error",
    "pad",
    "relu",
    "relu6",
    "reshape",
    "slice",
    "softmax",
    "softmax_cross_entropy",
    "transpose",
)
"""Methods of `Network` that a layer may name."""

_STRICT = ConfigDict(extra="forbid", strict=True)


class _Description(BaseModel):
    model_config = _STRICT

    name: str = Field(min_length=1, max_length=64)
    input: Annotated[list[int], Field(min_length=1, max_length=3)]
    layers: Annotated[list[Any], Field(min_length=1, max_length=MOST_NODES)]


def load_network(path: str | Path) -> Network:
    """The network that a YAML file describes. Raises `NetworkError` naming every wrong field, or the wrong node."""
    try:
        description = _Description.model_validate(parse_yaml(read_text(Path(path), LARGEST_YAML), str(path)))
    except ValidationError as error:
        raise NetworkError(f"network {path}: {described(error)}") from None
    except InputError as error:
        raise NetworkError(f"network {error}") from None
    network = Network(description.name, tuple(description.input))
    for position, layer in enumerate(description.layers):
        _append(network, layer, f"network {path}: layers.{position}")
    network.validate()
    return network


def _append(network: Network, layer: Any, where: str) -> None:
    method, given = next(iter(layer.items())) if isinstance(layer, dict) and len(layer) == 1 else (layer, {})
    if not isinstance(method, str) or method not in LAYERS:
        raise NetworkError(f"{where}: must be one of {', '.join(LAYERS)}, alone or with its arguments")
    try:
        arguments = dict(_arguments(method).model_validate(_tuples({} if given is None else given)))
    except ValidationError as error:
        raise NetworkError(f"{where}.{method}: {described(error)}") from None
    getattr(network, method)(*arguments.pop("values", ()), **arguments)


@cache
def _arguments(method: str) -> type[BaseModel]:
    """The arguments of a builder's method, checked by their annotations; several positional ones are a list."""
    function = getattr(Network, method)
    hints = typing.get_type_hints(function)
    fields: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            fields[name] = (tuple[hints[name], ...], ...)
        else:
            fields[name] = (hints[name], ... if parameter.default is parameter.empty else parameter.default)
    return create_model(method, __config__=_STRICT, **fields)


def _tuples(value: Any) -> Any:
    """YAML's lists as tuples, which is what the builder takes."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
