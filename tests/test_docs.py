"""The documentation says what the code says: generated pages are complete, and code on pages runs."""

import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from arch import isa, modes
from arch.events import Event
from arch.fields import layout
from explore import pictures

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = {path: re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL) for path in PAGES}
WITH_CODE = [path for path, blocks in CODE.items() if blocks]


@pytest.fixture(scope="module")
def site():
    """The modules that make pages."""
    folder = str(ROOT / "docs" / "site")
    sys.path.insert(0, folder)
    yield __import__("instruction_set"), __import__("gallery"), __import__("python_names"), __import__("commands")
    sys.path.remove(folder)


def test_the_instruction_set_is_whole(site):
    page = site[0].page()
    for opcode, kind in isa.KINDS.items():
        assert f"### {opcode.name}\n" in page
        assert all(f"| `{field.name}` | {field.bits} | {field.offset} |" in page for field in layout(kind))
    assert all(f"| `{mode}` |" in page for mode in modes.MODES)
    assert all(f"| `{event.name}` |" in page for event in Event)
    assert all(f"`{item.name}`" in page for kind in (isa.Route, isa.Reduction, isa.Moving) for item in kind)


def test_every_picture_is_shown(site):
    shown = set(site[1]._SHOWN)
    elsewhere = {"pareto_front", "waves", "trace_events", "write_trace", "Animated", "Picture"}  # in notebooks 04, 05
    assert shown | elsewhere == set(pictures.__all__)


def test_every_name_and_command_has_its_place(site):
    page = site[2].page("explore.pictures", "")
    assert page.count(":::") == len(pictures.__all__)
    assert "## tinycl compile" in site[3].page()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert path.name in site[1].notebooks_page(ROOT / "notebooks")


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.stem)
def test_code_on_pages_runs(path, tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    _save_model()
    names: dict = {}
    for number, block in enumerate(CODE[path]):
        exec(compile(block, f"{path.name}[{number}]", "exec"), names)


def _save_model() -> None:
    """The user's own file."""
    weight = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "conv"), helper.make_node("Relu", ["a"], ["y"], "relu")]
    x, y = (helper.make_tensor_value_info(*some) for some in (("x", 1, [1, 3, 8, 8]), ("y", 1, [1, 8, 6, 6])))
    graph = helper.make_graph(nodes, "mine", [x], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), "MODEL.onnx")


def test_pages_name_no_registry():
    hosts = re.compile(r"pypi\.|pythonhosted|npmjs|conda\.io|anaconda\.org|docker\.io")
    assert not [path.name for path in PAGES if hosts.search(path.read_text())]
