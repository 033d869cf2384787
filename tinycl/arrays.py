"""Arrays that users bring in .npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from arch.errors import InputError

LARGEST = 1 << 30
"""Bytes of unpacked arrays beyond which a file is refused."""


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name. Raises `InputError` if it is not one, or too large unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > LARGEST:
                raise InputError(f"{path}: must unpack to at most {LARGEST} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, ValueError, KeyError) as error:
        raise InputError(f"{path}: must be an .npz file of plain arrays ({type(error).__name__})") from None
