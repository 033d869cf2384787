"""Every public function has a docstring with what it takes and gives, and an example that runs (test_examples.py)."""

import doctest
import inspect
from importlib import import_module

import pytest

import explore.pictures
import tinycl

FINDER = doctest.DocTestFinder(exclude_empty=True, recurse=False)
OWN = ("arch", "compiler", "sim", "rtl", "testbenches", "explore", "estimate", "tinycl")


def public(package) -> dict[str, object]:
    return {f"{package.__name__}.{name}": getattr(package, name) for name in package.__all__}


NAMES = public(tinycl) | public(explore.pictures)
FUNCTIONS = {name: value for name, value in NAMES.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in NAMES.items() if inspect.isclass(value)}


def methods(kind: type) -> dict[str, object]:
    """What a user can call or read of an object, as far as it is said in this project."""
    found = {}
    for name, value in inspect.getmembers(kind):
        function = value.fget if isinstance(value, property) else value
        own = getattr(function, "__module__", "") or ""
        called = inspect.isfunction(getattr(function, "__func__", function))
        if called and not name.startswith("_") and own.split(".")[0] in OWN:
            found[name] = function
    return found


def test_there_are_names():
    assert {"tinycl.compile", "tinycl.sweep", "explore.pictures.timeline"} <= set(FUNCTIONS)
    assert {"tinycl.Chip", "tinycl.Device"} <= set(CLASSES)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_said_and_shown(name):
    function = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    assert len(text.splitlines()[0]) > 10, "the first line says what it does"
    module = import_module(function.__module__)  # pyright: ignore[reportAttributeAccessIssue]
    examples = [test for test in FINDER.find(function, globs=vars(module)) if test.examples]
    assert examples, f"{name} needs an example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_named(name):
    """Whatever a function takes is spoken of, in backticks or in words."""
    text = (inspect.getdoc(FUNCTIONS[name]) or "").lower()
    taken = inspect.signature(FUNCTIONS[name]).parameters.values()  # pyright: ignore[reportArgumentType]
    silent = [item.name for item in taken if item.kind != item.VAR_KEYWORD and item.name not in text]
    assert not silent, f"{name} says nothing of {', '.join(silent)}"


@pytest.mark.parametrize("name", CLASSES)
def test_classes_and_their_methods_are_said(name):
    kind = CLASSES[name]
    assert inspect.getdoc(kind), name
    silent = [method for method, value in methods(kind).items() if not inspect.getdoc(value)]  # pyright: ignore[reportArgumentType]
    assert not silent, f"{name} says nothing of {', '.join(silent)}"
