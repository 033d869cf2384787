"""Reading and writing files so that bad ones are one-line errors, and no file is ever half there."""

from __future__ import annotations

import io
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arch.errors import InputError

LARGEST_YAML = 1 << 16
"""Bytes of a YAML file beyond which it is refused unread."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises `InputError` naming it where that is impossible."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"{path}: is a directory; name a file")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_text(path: Path, limit: int) -> str:
    """A text file of at most `limit` bytes. Raises `InputError`."""
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path}: must be at most {limit} bytes")
        return path.read_text()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text") from None


def read_array(data: bytes) -> np.ndarray:
    """The array of an .npy file. Raises `ValueError` if its header promises other than what follows it."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("an array must hold plain numbers, as many as its header says")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


class _OnceLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, of which the last one would hold."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that YAML `text` holds. Raises `InputError` naming `where`, also if a key is there twice."""
    try:
        data = yaml.load(text, _OnceLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{where}: not YAML: {error.problem}, in line {line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be a mapping of fields such as `name: small`, not {type(data).__name__}")
    return data
