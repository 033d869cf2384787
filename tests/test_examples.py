"""The examples in docstrings do what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for room in ("arch", "compiler", "explore", "sim", "tinycl")
    for path in sorted((ROOT / room).rglob("*.py"))
    if ">>>" in path.read_text()
]


def test_there_are_examples():
    assert {"tinycl.compiled", "tinycl.device", "tinycl.simulated"} <= set(MODULES)


EXTRAS = {"tinycl.torch_module": ("torch", "onnxscript")}
"""What examples need beyond the core."""


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    for package in EXTRAS.get(module, ()):
        pytest.importorskip(package, reason="the example exports a module: pip install 'tinycl[torch]'")
    result = doctest.testmod(import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed
