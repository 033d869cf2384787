"""A progress bar that shows itself only when work takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Timer

from rich.progress import Progress

from tinycl.show import progress

SECONDS = 2.0
"""What takes less shows no bar."""


@contextmanager
def late_progress() -> Iterator[Progress]:
    """A bar to add tasks to, on standard error; it appears after `SECONDS` and disappears at the end."""
    bar, lock, over = progress(), Lock(), False

    def show() -> None:
        with lock:
            if not over:
                bar.start()

    timer = Timer(SECONDS, show)
    timer.daemon = True
    timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        with lock:
            over = True
            if bar.live.is_started:
                bar.stop()
