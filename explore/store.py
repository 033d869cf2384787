"""Rows of a sweep on disk, so that one that was cut off goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

from arch.errors import InputError


class Store:
    """A file of JSON lines, `{"key": ..., "row": {...}}` each, kept open to append to.

    A last line that was cut off is dropped. Raises `InputError` on a file that is no store.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "rows.jsonl")
    ...     store = Store(path)
    ...     store.add("a", {"cycles": 10})
    ...     store.close()
    ...     Store(path).rows
    {'a': {'cycles': 10}}
    """

    def __init__(self, path: Path | None):
        self.rows: dict[str, dict[str, Any]] = {}
        self._file: IO[bytes] | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._read(path) if path.exists() else 0
            self._file = path.open("r+b" if path.exists() else "xb")
            self._file.truncate(whole)
            self._file.seek(whole)
        except OSError as error:
            raise InputError(f"store {path}: {error.strerror or error}") from None

    def _read(self, path: Path) -> int:
        """Take in the whole lines; returns where they end."""
        text = path.read_bytes()
        end = text.rfind(b"\n") + 1
        for number, line in enumerate(text[:end].splitlines(), 1):
            try:
                item = json.loads(line)
                self.rows[str(item["key"])] = dict(item["row"])
            except (ValueError, TypeError, KeyError):
                raise InputError(f"store {path}: line {number} is not of a sweep; give another file") from None
        if text and not end:
            raise InputError(f"store {path}: is not of a sweep; give another file")
        return end

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Remember a row, on disk at once."""
        self.rows[key] = row
        if self._file:
            self._file.write(json.dumps({"key": key, "row": row}).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
