"""A PyTorch module as a network and its parameters, through ONNX.

`torch.onnx.export` reduces PyTorch's hundreds of functions to ONNX's operators, so that one translation serves both,
and records which module each node comes from: a node has its module's name (`layer1.0.conv1`), a parameter that of the
module's state dictionary (`layer1.0.conv1.weight`). A function called in a module's `forward` is named after that
module and itself (`layer1.0.add`).
"""

from __future__ import annotations

import ast
import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.onnx_import import import_model
from compiler.shapes import check_value

if TYPE_CHECKING:
    from torch import nn

OPSET = 20
"""Version of ONNX's operators that modules are exported to."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def load_torch(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[Network, dict[str, np.ndarray]]:
    """The network that `module` computes in evaluation mode from one input, and its parameters.

    `input_shape` is (C, H, W) or (N,), without the batch. A Dropout module stays a node. Raises `NetworkError` in one
    line if PyTorch cannot export the module, naming every node that cannot be translated, or on shared weights.
    """
    try:
        import onnxscript  # noqa: F401  PyTorch's exporter needs it
        import torch
    except ImportError as error:
        raise NetworkError(f"{error.name} is not installed; install tinycl with its extra: tinycl[torch]") from None
    name = type(module).__name__
    check_value(f"input of {name}", tuple(input_shape))
    with _evaluating(module):
        try:
            program = torch.onnx.export(
                module,
                (torch.zeros(1, *input_shape),),
                dynamo=True,
                optimize=False,  # it would fold batch normalisations away
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # the module's own code runs in it
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise NetworkError(f"{name}: PyTorch cannot export it: {reason}") from None
    if program is None:
        raise NetworkError(f"{name}: PyTorch exports nothing")
    model = program.model_proto
    _check_unshared(model, {name for name, _ in module.named_parameters()})
    _rename(model, module)
    _restore_normalisations(model, module)
    return import_model(model, name)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without the exporter's chatter, and afterwards each part's mode as it was."""
    modes = [(part, part.training) for part in module.modules()]
    logged = logging.root.manager.disable
    module.eval()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logged)
        for part, training in modes:
            part.training = training


def _check_unshared(model: onnx.ModelProto, parameters: set[str]) -> None:
    computing = [node for node in model.graph.node if node.op_type != "Shape"]
    uses = Counter(name for node in computing for name in node.input if name in parameters)
    shared = sorted(name for name, count in uses.items() if count > 1)
    if shared:
        raise NetworkError(f"{', '.join(shared)}: used by several layers; give each layer weights of its own")


def _rename(model: onnx.ModelProto, module: nn.Module) -> None:
    """Name each node after its module; take away the bias that a Conv2d lacks, and give back the Dropout."""
    from torch import nn

    leaves = {name: part for name, part in module.named_modules() if not list(part.children())}
    for node in model.graph.node:
        scopes = _scopes(node)
        path, function = (scopes[-2] if len(scopes) > 1 else ""), scopes[-1]
        if path in leaves:
            node.name = path or function
        else:
            node.name = f"{path}.{function}" if path else function
        leaf = leaves.get(path)
        if isinstance(leaf, nn.Conv2d) and leaf.bias is None and node.op_type == "Conv":
            del node.input[2:]
        if isinstance(leaf, nn.Dropout) and node.op_type == "Identity":
            ratio = f"{node.name}.ratio"
            node.op_type = "Dropout"
            node.input.append(ratio)
            model.graph.initializer.append(numpy_helper.from_array(np.array(leaf.p, np.float32), ratio))


def _restore_normalisations(model: onnx.ModelProto, module: nn.Module) -> None:
    """One LRN for all that a LocalResponseNorm is exported as, from the square to the division.

    Raises `NetworkError` on an even size: PyTorch then has one channel more before the middle, ONNX one more behind it.
    """
    from torch import nn

    parts = {name: part for name, part in module.named_modules() if isinstance(part, nn.LocalResponseNorm)}
    nodes = []
    for node in model.graph.node:
        part = parts.get(node.name)
        if part is None:
            nodes.append(node)
        elif node.op_type == "Div":
            if part.size % 2 == 0:
                raise NetworkError(f"{node.name}: its size must be odd, not {part.size}, for ONNX to mean the same")
            attributes = {"size": part.size, "alpha": part.alpha, "beta": part.beta, "bias": part.k}
            whole = onnx.helper.make_node("LRN", node.input[:1], node.output, node.name, **attributes)
            nodes.append(whole)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _scopes(node: onnx.NodeProto) -> list[str]:
    """Paths of the modules around the node, outermost first, and the function that it computes."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            return [str(scope) for scope in ast.literal_eval(entry.value)] or [node.name]
    return [node.name]
