"""Examples in docstrings (`>>>`) as code, not as quotes of quotes."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """The text with each run of example lines (from `>>>` to a blank line) in a fence."""
    lines: list[str] = []
    inside = False
    for line in [*text.splitlines(), ""]:
        starts, ends = not inside and line.startswith(">>>"), inside and not line.strip()
        if starts:
            lines += ["", "```pycon"]
        if ends:
            lines.append("```")
        inside = (inside or starts) and not ends
        lines.append(line)
    return "\n".join(lines).strip()


class Fenced(griffe.Extension):
    """Runs over every docstring that is shown."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
