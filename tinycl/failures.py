"""How commands fail: one line that names the thing and the way out, and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from arch.errors import InputError


def one_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn an `InputError` of a command into its one line on standard error and exit status 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            print(f"tinycl: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)

    return run
