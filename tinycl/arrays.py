"""Arrays that users bring in .npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from arch.errors import InputError
from arch.files import read_array

LARGEST = 1 << 30
"""Bytes of unpacked arrays beyond which a file is refused."""


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name. Raises `InputError` if it is not one, or too large unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > LARGEST:
                raise InputError(f"{path}: must unpack to at most {LARGEST} bytes")
            return {item.filename.removesuffix(".npy"): read_array(archive.read(item)) for item in archive.infolist()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except InputError:
        raise
    except (zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path}: must be an .npz file of plain arrays ({type(error).__name__})") from None
