"""Images to learn from: real digits that come with scikit-learn, CIFAR-10 if the user has it, made ones otherwise."""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arch.errors import InputError

_CIFAR_BATCH_BYTES = 40_000_000


class DataError(InputError):
    """Data that cannot be read; names the file."""


@dataclass(frozen=True)
class DataSet:
    """`samples` float64 [n, C, H, W], `labels` int64 [n]; `made` if the images are not real."""

    name: str
    samples: np.ndarray
    labels: np.ndarray
    made: bool = False


def digits() -> DataSet:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels (UCI Optical Recognition of Handwritten Digits)."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return DataSet("digits", bunch.images[:, None] / 16.0, bunch.target.astype(np.int64))


def digits_as_images(side: int = 32, channels: int = 3) -> DataSet:
    """The digits scaled up bilinearly to side x side, the same in every channel; values around 0, from -0.6 to 1.4."""
    small = digits()
    extent = small.samples.shape[-1]
    place = np.clip((np.arange(side) + 0.5) * extent / side - 0.5, 0, extent - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(extent)))
    large = weights @ small.samples @ weights.T
    return DataSet(f"digits {side} x {side}", np.repeat((large - 0.3) * 2, channels, axis=1), small.labels)


def made(count: int, shape: tuple[int, int, int], classes: int, seed: int) -> DataSet:
    """`count` made images of smooth noise with random labels: they serve cycles and traffic, not accuracy."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    coarse = rng.uniform(0, 1, (count, channels, -(-height // 4), -(-width // 4)))
    samples = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :height, :width]
    return DataSet("made images", np.ascontiguousarray(samples), rng.integers(0, classes, count), made=True)


def cifar10(archive: str | Path) -> DataSet:
    """The first training batch of CIFAR-10's python archive (`cifar-10-python.tar.gz`), 10,000 images of 3 x 32 x 32.

    Raises `DataError` if the file is not that archive.
    """
    try:
        with tarfile.open(archive) as tar:
            member = next(item for item in tar if item.name.endswith("data_batch_1"))
            if member.size > _CIFAR_BATCH_BYTES:
                raise DataError(f"{archive}: its data_batch_1 must be at most {_CIFAR_BATCH_BYTES} bytes")
            file = tar.extractfile(member)
            assert file is not None
            batch = _ArraysOnly(io.BytesIO(file.read()), encoding="bytes").load()
        samples = batch[b"data"].reshape(-1, 3, 32, 32) / 255.0
        return DataSet("CIFAR-10", samples, np.asarray(batch[b"labels"], dtype=np.int64))
    except OSError as error:
        raise DataError(f"{archive}: {error.strerror or error}") from None
    except DataError:
        raise
    except Exception as error:
        # a pickle can fail in any way; none of them is the user's to debug
        raise DataError(f"{archive}: must be CIFAR-10's python archive ({type(error).__name__})") from None


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays and plain values; anything else that a pickle could call is refused."""

    _ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype", "encode"})

    def find_class(self, module: str, name: str):
        if name not in self._ALLOWED or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
