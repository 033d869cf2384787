"""Pages that mkdocs makes while it builds, so that they cannot say what the code does not: no copy is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# mkdocs imports a hook with the hook's own folder on the path; tinycl itself is installed
import commands
import gallery
import instruction_set
import python_names
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and pictures."""
    made: dict[str, str | bytes] = {
        "instructions.md": instruction_set.page(),
        "notebooks.md": gallery.notebooks_page(ROOT / "notebooks"),
        "pictures.md": gallery.page(),
        "reference/commands.md": commands.page(),
        "reference/python.md": python_names.page("tinycl", "The names that `import tinycl` gives."),
        "reference/pictures.md": python_names.page("explore.pictures", "Pictures, as matplotlib figures."),
        **gallery.pictures(),
    }
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files
