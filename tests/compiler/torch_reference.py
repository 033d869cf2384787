"""A network and its loss in PyTorch and float64, for gradients and for training; shares nothing with the passes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from compiler.network import Network
from compiler.nodes import LOSSES, BatchNormalizationAttributes
from tests.compiler.evaluate import OPERATORS


class TorchNetwork:
    """The network's weights and biases are leaves in `parameters`; those of batch normalisations stay as they are."""

    def __init__(self, network: Network, parameters: dict[str, np.ndarray]):
        self.network = network
        frozen = {
            name for node in network.nodes if node.operator == "BatchNormalization" for name in node.parameters.values()
        }
        self.all = {name: torch.tensor(np.array(value, np.float64)) for name, value in parameters.items()}
        self.parameters = {name: value.requires_grad_() for name, value in self.all.items() if name not in frozen}

    def run(self, sample: np.ndarray) -> Tensor:
        """What the loss reads, or the last value: of the network's shape."""
        values = {"input": torch.tensor(np.array(sample, np.float64))[None]}
        for node in self.network.nodes:
            if node.operator in LOSSES:
                return values[node.inputs[0]][0]
            given = {role: self.all[name] for role, name in node.parameters.items()}
            values[node.name] = OPERATORS[node.operator](node, [values[name] for name in node.inputs], given)
        return values[self.network.last][0]

    def loss(self, sample: np.ndarray, label) -> Tensor:
        """The loss that ends the network, of one sample."""
        result = self.run(sample)
        if self.network.nodes[-1].operator == "MeanSquaredError":
            return functional.mse_loss(result, torch.tensor(np.array(label, np.float64)).reshape(result.shape))
        return functional.cross_entropy(result[None], torch.tensor([int(label)]))

    def gradients(self, sample: np.ndarray, label) -> dict[str, np.ndarray]:
        """The loss's gradient to every parameter."""
        found = torch.autograd.grad(self.loss(sample, label), list(self.parameters.values()))
        return {name: gradient.numpy() for name, gradient in zip(self.parameters, found, strict=True)}


class TorchBatchNetwork:
    """A network in train mode: batch normalisations by the statistics of the samples, whose running ones follow.

    All parameters but running statistics are leaves in `parameters`.
    """

    def __init__(self, network: Network, parameters: dict[str, np.ndarray]):
        self.network = network
        self.all = {name: torch.tensor(np.array(value, np.float64)) for name, value in parameters.items()}
        self.parameters = {name: value.requires_grad_() for name, value in self.all.items() if ".running_" not in name}

    def values(self, samples: np.ndarray) -> dict[str, Tensor]:
        """Every value of a micro-batch, [n, *shape]; what the loss reads is "result"."""
        values = {"input": torch.tensor(np.array(samples, np.float64))}
        for node in self.network.nodes:
            given = {role: self.all[name] for role, name in node.parameters.items()}
            if node.operator in LOSSES:
                values["result"] = values[node.inputs[0]]
            elif isinstance(node.attributes, BatchNormalizationAttributes):
                values[node.name] = functional.batch_norm(
                    values[node.inputs[0]],
                    **given,
                    training=True,
                    momentum=node.attributes.momentum,
                    eps=node.attributes.epsilon,
                )
            else:
                inputs = [values[name] for name in node.inputs]
                values[node.name] = OPERATORS[node.operator](node, inputs, given)
        return values

    def loss(self, result: Tensor, labels: np.ndarray) -> Tensor:
        """The mean loss of a micro-batch."""
        if self.network.nodes[-1].operator == "MeanSquaredError":
            return functional.mse_loss(result, torch.tensor(np.array(labels, np.float64)).reshape(result.shape))
        return functional.cross_entropy(result, torch.tensor(labels))
