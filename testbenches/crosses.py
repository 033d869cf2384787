"""Functional coverage: crosses of coverpoints, and rules for their points that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from arch.isa import Instruction
from testbenches.coverpoints import Coverpoint, Sample

Point = Mapping[str, str]
"""A bin for each coverpoint of a group, by the coverpoint's name."""


@dataclass(frozen=True)
class Rule:
    """Points that cannot be reached: where `when` holds, because of `reason`."""

    reason: str
    when: Callable[[Point], bool]


@dataclass(frozen=True)
class Group:
    """A cross of coverpoints, asked of every instruction of the classes `kinds`."""

    name: str
    kinds: tuple[type[Instruction], ...]
    axes: tuple[Coverpoint, ...]
    rules: tuple[Rule, ...] = ()

    def bins(self, sample: Sample) -> tuple[str, ...] | None:
        """The point that a sample hits; None if the group does not ask about it."""
        if not isinstance(sample.instruction, self.kinds):
            return None
        found: list[str] = []
        for axis in self.axes:
            answer = axis.of(sample)
            if answer is None:
                return None
            found.append(answer)
        return tuple(found)

    @cached_property
    def excluded(self) -> dict[tuple[str, ...], str]:
        """Points that cannot be reached, each with its reason."""
        names = [axis.name for axis in self.axes]
        found: dict[tuple[str, ...], str] = {}
        for point in product(*(axis.bins for axis in self.axes)):
            named = dict(zip(names, point, strict=True))
            reason = next((rule.reason for rule in self.rules if rule.when(named)), None)
            if reason is not None:
                found[point] = reason
        return found

    @cached_property
    def reachable(self) -> frozenset[tuple[str, ...]]:
        """Points that must be hit."""
        return frozenset(product(*(axis.bins for axis in self.axes))) - self.excluded.keys()
