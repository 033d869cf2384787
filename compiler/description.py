"""A network as YAML: a name, an input shape, and a list of layers with the builder's own arguments.

    name: small
    input: [1, 8, 8]
    layers:
      - conv: {filters: 4, bias: true}
      - relu
      - dense: {outputs: 10}
      - softmax_cross_entropy
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from compiler.network import Network, NetworkError


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Conv(_Model):
    filters: int
    kernel: int = 3
    padding: int = 1
    bias: bool = False
    name: str = ""


class _Dense(_Model):
    outputs: int
    bias: bool = False
    name: str = ""


class _ConvItem(_Model):
    conv: _Conv


class _DenseItem(_Model):
    dense: _Dense


class _Description(_Model):
    name: str = Field(min_length=1, max_length=64)
    input: Annotated[list[int], Field(min_length=1, max_length=3)]
    layers: Annotated[
        list[_ConvItem | _DenseItem | Literal["relu", "softmax_cross_entropy"]], Field(min_length=1, max_length=256)
    ]


def load_network(path: str | Path) -> Network:
    """The network that a YAML file describes. Raises `NetworkError` naming every wrong field, or the wrong node."""
    try:
        description = _Description.model_validate(parse_yaml(read_text(Path(path), LARGEST_YAML), str(path)))
    except ValidationError as error:
        raise NetworkError(f"network {path}: {described(error)}") from None
    except InputError as error:
        raise NetworkError(f"network {error}") from None
    network = Network(description.name, tuple(description.input))
    for layer in description.layers:
        if isinstance(layer, _ConvItem):
            network.conv(**layer.conv.model_dump())
        elif isinstance(layer, _DenseItem):
            network.dense(**layer.dense.model_dump())
        else:
            getattr(network, layer)()
    return network
