"""Runs Yosys commands in a process of its own: `python worker.py FOLDER` takes them from `commands.json` there.

It imports nothing of tinycl, since it is started for every block.
"""

import json
import os
import sys
from pathlib import Path

from pyosys import libyosys as yosys


def main(folder: str) -> None:
    """Run the commands in `folder`."""
    os.chdir(folder)
    design = yosys.Design()
    for line in json.loads(Path("commands.json").read_text()):
        yosys.Pass.call(design, line)


if __name__ == "__main__":
    main(sys.argv[1])
