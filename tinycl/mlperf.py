"""The four networks of the MLPerf Tiny benchmark as PyTorch modules, with random weights.

Layers, widths and inputs are those of the benchmark's reference models (github.com/mlcommons/tiny, training/), written
in PyTorch. Two things differ: where TensorFlow pads a strided convolution unevenly, both sides are padded here, at the
same extents; and dropout, which does nothing in inference, and the final softmax are left out.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING

from compiler.nodes import NetworkError

if TYPE_CHECKING:
    from torch import nn

INPUTS = {"resnet8": (3, 32, 32), "ds_cnn": (1, 49, 10), "mobilenet": (3, 96, 96), "autoencoder": (640,)}
"""Input shape of each network, without the batch."""


def mlperf_network(name: str, seed: int = 0) -> nn.Module:
    """One of `INPUTS`, in evaluation mode. Raises `NetworkError` on another name, or without PyTorch."""
    builders = {"resnet8": _resnet8, "ds_cnn": _ds_cnn, "mobilenet": _mobilenet, "autoencoder": _autoencoder}
    if name not in builders:
        raise NetworkError(f"{name}: must be one of {', '.join(builders)}")
    try:
        import torch
    except ImportError:
        raise NetworkError(f"{name}: PyTorch is not installed; install tinycl with its extra: tinycl[torch]") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return builders[name]().eval()


def _resnet8() -> nn.Module:
    """Image classification: 32 x 32 colour images, 10 classes."""

    from torch import nn

    class Residual(nn.Module):
        def __init__(self, channels: int, filters: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1)
            self.bn1 = nn.BatchNorm2d(filters)
            self.relu1 = nn.ReLU()
            self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1)
            self.bn2 = nn.BatchNorm2d(filters)
            self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(channels, filters, 1, stride)
            self.relu2 = nn.ReLU()

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
            return self.relu2(y + self.shortcut(x))

    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 16, 3, 1, 1),
            bn=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            stack1=Residual(16, 16, 1),
            stack2=Residual(16, 32, 2),
            stack3=Residual(32, 64, 2),
            pool=nn.AvgPool2d(8),
            flatten=nn.Flatten(),
            fc=nn.Linear(64, 10),
        )
    )


def _ds_cnn() -> nn.Module:
    """Keyword spotting: 49 frames of 10 cepstral coefficients, 12 classes."""
    from torch import nn

    layers = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1)), nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += _separable(64, 64, 1)
    return nn.Sequential(*layers, nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12))


def _mobilenet() -> nn.Module:
    """Visual wake words: MobileNetV1 of a quarter of the width, 96 x 96 colour images, 2 classes."""
    from torch import nn

    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()]
    channels = 8
    widths = (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
    for position, filters in enumerate(widths):
        layers += _separable(channels, filters, 2 if position in (1, 3, 5, 11) else 1)
        channels = filters
    return nn.Sequential(*layers, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2))


def _separable(channels: int, filters: int, stride: int) -> list[nn.Module]:
    from torch import nn

    return [
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, filters, 1),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    ]


def _autoencoder() -> nn.Module:
    """Anomaly detection: 640 spectrogram values through a bottleneck of 8 and back."""
    from torch import nn

    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))
