"""Reference pages of the public names of a package, from their docstrings."""

from __future__ import annotations

from importlib import import_module
from inspect import isclass


def page(package: str, about: str) -> str:
    """A heading for each name in the package's `__all__`, functions first, and where mkdocstrings finds it."""
    module = import_module(package)
    names = sorted(module.__all__, key=lambda name: (isclass(getattr(module, name)), name.lower()))
    blocks = [f"::: {path(package, name)}" for name in names]
    return "\n\n".join([f"# {package}", about, *blocks]) + "\n"


def path(package: str, name: str) -> str:
    """The module that defines a public name, and the name there."""
    value = getattr(import_module(package), name)
    return f"{value.__module__}.{value.__qualname__}"
