"""Every notebook runs, cell by cell, tells its story in few cells and is committed without outputs."""

import ast
import os
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest
from nbclient import NotebookClient

from arch import modes
from arch.recall import forget

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_CELLS = 15
SLOW = "TINYCL_SLOW"
REASON = f"set {SLOW}=1 to execute notebooks in a kernel"
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert numbers == [f"{number:02}" for number in range(1, 8)]


@each
def test_it_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) < MOST_CELLS
    assert notebook.cells[0].source.startswith("# ")
    for index, cell in enumerate(notebook.cells):
        assert not cell.get("outputs"), f"cell {index} has outputs: clear them"


@pytest.fixture
def added_mode():
    """Notebook 07 adds a mode: it is gone afterwards, whatever happens."""
    before = dict(modes.MODES)
    yield
    modes.MODES.clear()
    modes.MODES.update(before)
    forget()


@each
def test_it_runs(path, tmp_path, monkeypatch, added_mode):
    """In this process: quick, and each cell's last value is shown as a notebook would."""
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for index, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code":
            _execute(cell.source, f"{path.name}[{index}]", names)
    plt.close("all")


def _execute(source: str, where: str, names: dict) -> None:
    tree = ast.parse(source, where)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), names)
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), where, "eval"), names)
        views = [getattr(shown, name)() for name in ("_repr_html_", "_repr_png_") if hasattr(shown, name)]
        assert not views or any(views)


@each
@pytest.mark.skipif(not os.environ.get(SLOW), reason=REASON)
def test_it_runs_in_a_kernel(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert shown and not any(output.output_type == "error" for output in shown)


def test_the_slow_tier_says_why_it_is_skipped():
    marks = {mark.name: mark for mark in test_it_runs_in_a_kernel.pytestmark}  # pyright: ignore[reportFunctionMemberAccess]
    assert marks["skipif"].kwargs["reason"] == REASON
    assert marks["skipif"].args == (not os.environ.get(SLOW),)
