"""Every public name has a docstring with what it takes and gives, and an example that runs (test_examples.py)."""

import doctest
import inspect
import re
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from types import FunctionType, MethodType
from typing import Any

import pytest

import explore.pictures
import tinycl

FINDER = doctest.DocTestFinder(exclude_empty=True, recurse=False)
OWN = ("arch", "compiler", "sim", "rtl", "testbenches", "explore", "estimate", "tinycl")
MODULES = ("frames", "measure", "pareto", "runner", "store", "sweep", "timing", "topology", "vcd")
"""Of `explore`, beside the pictures, what a user's own script may import."""


def public(package: Any) -> dict[str, Any]:
    return {f"{package.__name__}.{name}": getattr(package, name) for name in package.__all__}


def defined(module: Any) -> dict[str, Any]:
    """The public functions and classes that a module defines itself."""
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_") and callable(value)
    }


NAMES = public(tinycl) | public(explore.pictures)
ROOM = {name: value for part in MODULES for name, value in defined(import_module(f"explore.{part}")).items()}
FUNCTIONS = {name: value for name, value in NAMES.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in NAMES.items() if inspect.isclass(value)}


def said(value: Any) -> FunctionType | None:
    """The function of this project behind a class's attribute, if that is one."""
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, cached_property):
        value = value.func
    if isinstance(value, MethodType):
        value = value.__func__
    own = isinstance(value, FunctionType) and value.__module__.split(".")[0] in OWN
    return value if own and isinstance(value, FunctionType) else None


def methods(kind: type) -> dict[str, FunctionType]:
    """What a user can call or read of an object, as far as it is said in this project."""
    found = {name: said(value) for name, value in inspect.getmembers(kind) if not name.startswith("_")}
    return {name: value for name, value in found.items() if value}


METHODS = {f"{name}.{method}": (kind, method) for name, kind in CLASSES.items() for method in methods(kind)}


def examples(value: type | Callable[..., Any]) -> str:
    """The source of the examples in a docstring of its own."""
    found = FINDER.find(value, globs={}) if inspect.getdoc(value) else []
    return "".join(example.source for test in found for example in test.examples)


def test_there_are_names():
    assert {"tinycl.compile", "tinycl.sweep", "explore.pictures.timeline"} <= set(FUNCTIONS)
    assert {"tinycl.Chip", "tinycl.Device"} <= set(CLASSES)
    assert {"tinycl.Device.step", "tinycl.Chip.multipliers", "tinycl.Chip.fingerprint"} <= set(METHODS)
    assert {"explore.runner.run", "explore.store.Store", "explore.frames.report_frame"} <= set(ROOM)


@pytest.mark.parametrize("name", NAMES | ROOM)
def test_names_are_said_and_shown(name):
    value = (NAMES | ROOM)[name]
    text = inspect.getdoc(value) or ""
    assert len(text.splitlines()[0]) > 10, "the first line says what it does"
    assert examples(value), f"{name} needs an example"


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_said_and_shown(name):
    """By an example of their own, or in one of a class that has them."""
    kind, method = METHODS[name]
    function = methods(kind)[method]
    assert inspect.getdoc(function), f"{name} says nothing"
    used = any(re.search(rf"\.{method}\b", examples(base)) for base in kind.__mro__)
    assert used or examples(function), f"{name} needs an example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_named(name):
    """Whatever a function takes is spoken of, in backticks or in words."""
    text = (inspect.getdoc(FUNCTIONS[name]) or "").lower()
    taken = inspect.signature(FUNCTIONS[name]).parameters.values()
    silent = [item.name for item in taken if item.kind != item.VAR_KEYWORD and item.name not in text]
    assert not silent, f"{name} says nothing of {', '.join(silent)}"
