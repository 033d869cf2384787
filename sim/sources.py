"""A mark of the source text that compiled code comes from."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ROOM = Path(__file__).parent


@cache
def version(simulator: str) -> int:
    """A number that changes with any file of `arch` and any of this room whose name begins with `simulator`.

    numba's cache compares only the file of the function it stores, not those of what is compiled into it; as a constant
    of that function, the number makes it see them all.
    """
    digest = hashlib.sha256()
    for path in [*sorted(_ROOM.glob(f"{simulator}*.py")), *sorted((_ROOM.parent / "arch").glob("*.py"))]:
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7], "big")
