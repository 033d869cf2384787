"""The fast simulator: the same bits and counts as the machine, an instruction's whole arithmetic at once.

The order of exact sums does not matter, so values follow from each instruction alone; cycles and all events that do not
depend on values follow from `arch.timing` and `arch.counts`, once for each entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from arch.counts import counted
from arch.errors import InputError
from arch.events import Event
from arch.isa import ENGINES, Engine
from arch.layout import Region, Store
from arch.program import Program
from arch.retirement import Retirement, digests
from arch.timing import Slot, duration, schedule
from sim.fast_loop import Regions, loop
from sim.fast_table import ROW, Memories, row_of, scratch, sizes
from sim.result import Result, read_outputs

_STORES = (Store.FEATURE, Store.GRADIENT, Store.WEIGHT)


@dataclass(frozen=True)
class _Plan:
    """An entry: its instructions' rows and slots in order of retirement, and what each counts whatever the values."""

    table: np.ndarray
    slots: list[Slot]
    events: dict[Engine, np.ndarray]


class FastMachine:
    """A chip running one program; `image` and the registers are kept from run to run.

    `image` is a copy of the program's; its arrays stay the machine's own. Registers are zero when the machine is made.
    Raises `ProgramError` if the program is not legal.
    """

    def __init__(self, program: Program):
        program.check()
        self.program = program
        self.image = program.image.copy()
        chip = program.chip
        self._sizes = sizes(chip)
        self._kernels = np.zeros(chip.kernel_registers * chip.multipliers, np.int16)
        self._bias = np.zeros(chip.multipliers, np.int16)
        self._plans: dict[str, _Plan] = {}
        self._places: dict[Region, np.ndarray] = {}

    def run(
        self,
        entry: str,
        inputs: dict[str, np.ndarray] | None = None,
        *,
        steps: int = 1,
        collect: tuple[str, ...] = (),
        trace: bool = False,
        order: np.ndarray | None = None,
    ) -> Result:
        """Run `entry` `steps` times.

        `inputs`: for some of the program's inputs, integers [samples, *region.shape] within the chip's word; step i is
        given sample order[i], or sample i without `order` (integers [steps]). `collect` names output regions whose
        values of every step are returned, int16 [steps, *shape], instead of all outputs' values after the last one.
        `trace` (one step alone) records every instruction's retirement. Raises `InputError` on unfit arguments.
        """
        if steps < 1 or (trace and steps != 1):
            raise InputError(f"steps must be {'1 with a trace' if trace else 'at least 1'}, not {steps}")
        plan = self._plan(entry)
        given = self._given(inputs or {})
        samples = self._order(given, order, steps)
        outputs = [self._region(self.program.outputs, name) for name in collect]
        collected = np.empty((steps, sum(self._place(region).size for region in outputs)), np.int16)
        values = np.zeros((plan.table.size, 2), np.int64)
        retirements: list[Retirement] = []
        memories, staged, taken = self._memories(), self._regions(given), self._regions([(r, None) for r in outputs])
        if trace:
            none = self._regions([])
            loop()(self._sizes, plan.table[:0], memories, self._scratch, staged, samples, none, collected, values)
            retirements = self._traced(plan, entry, memories, values)
            loop()(self._sizes, plan.table[:0], memories, self._scratch, none, samples, taken, collected, values)
        else:
            loop()(self._sizes, plan.table, memories, self._scratch, staged, samples, taken, collected, values)
        return self._result(
            plan, steps, values, retirements, self._outputs(dict(zip(collect, outputs, strict=True)), collected)
        )

    def _traced(self, plan: _Plan, entry: str, memories: Memories, values: np.ndarray) -> list[Retirement]:
        none, once, empty = self._regions([]), np.zeros(1, np.int64), np.empty((1, 0), np.int16)
        so_far = {engine: np.zeros(len(Event), np.int64) for engine in ENGINES}
        first = {engine: self.program.first(entry, engine) for engine in ENGINES}
        retirements = []
        for i, slot in enumerate(plan.slots):
            part = plan.table[i : i + 1], memories, self._scratch
            loop()(self._sizes, *part, none, once, none, empty, values[i : i + 1])
            events = so_far[slot.engine]
            events += plan.events[slot.engine][slot.index]
            events[[Event.SATURATIONS, Event.LOST_UPDATES]] += values[i]
            index = first[slot.engine] + slot.index
            used = digests(self.program.streams[slot.engine][index], self.image)
            retirements.append(Retirement(slot.engine, index, slot.last, tuple(events.tolist()), used))
        return retirements

    def _result(
        self, plan: _Plan, steps: int, values: np.ndarray, retirements: list[Retirement], outputs: dict[str, np.ndarray]
    ) -> Result:
        per_instruction = {engine: events * steps for engine, events in plan.events.items()}
        for slot, (saturations, lost) in zip(plan.slots, values, strict=True):
            per_instruction[slot.engine][slot.index, Event.SATURATIONS] = saturations
            per_instruction[slot.engine][slot.index, Event.LOST_UPDATES] = lost
        return Result(
            cycles=plan.slots[-1].last,
            counters=np.stack([per_instruction[engine].sum(axis=0) for engine in ENGINES]),
            per_instruction=per_instruction,
            outputs=outputs,
            retirements=retirements,
        )

    def _plan(self, entry: str) -> _Plan:
        if entry not in self._plans:
            chip = self.program.chip
            streams = self.program.entry_streams(entry)
            slots = schedule(streams, {e: [duration(item, chip) for item in items] for e, items in streams.items()})
            events = {engine: np.zeros((len(stream), len(Event)), np.int64) for engine, stream in streams.items()}
            for engine, stream in streams.items():
                for i, instruction in enumerate(stream):
                    for event, count in counted(instruction, chip).items():
                        events[engine][i, event] = count
            table = np.array([row_of(streams[slot.engine][slot.index]) for slot in slots], ROW)
            self._plans[entry] = _Plan(table, slots, events)
        return self._plans[entry]

    @cached_property
    def _scratch(self):
        instructions = [item for stream in self.program.streams.values() for item in stream]
        return scratch(instructions, self.program.chip)

    def _memories(self) -> Memories:
        image = self.image
        flat = (image.feature, image.gradient, image.weight, image.random, self._kernels, self._bias)
        return Memories(*(array.reshape(-1) for array in flat))

    def _region(self, group: dict[str, Region], name: str) -> Region:
        if name not in group:
            raise InputError(f"{name} must be one of {', '.join(group) or '(none)'}")
        return group[name]

    def _place(self, region: Region) -> np.ndarray:
        if region not in self._places:
            self._places[region] = region.indices(self.program.chip).reshape(-1).astype(np.int64)
        return self._places[region]

    def _given(self, inputs: dict[str, np.ndarray]) -> list[tuple[Region, np.ndarray | None]]:
        """Each input's region and its samples as contiguous int16."""
        chip = self.program.chip
        given: list[tuple[Region, np.ndarray | None]] = []
        for name, values in inputs.items():
            region = self._region(self.program.inputs, name)
            values = np.asarray(values)
            if values.shape[1:] != region.shape or values.dtype.kind not in "iu":
                raise InputError(
                    f"{name} must be integers of shape [samples, {', '.join(map(str, region.shape))}], "
                    f"not {values.dtype} {list(values.shape)}"
                )
            if values.size and (values.max() > chip.largest or values.min() < -chip.largest - 1):
                raise InputError(f"{name} has values beyond {chip.word_bits} bits")
            given.append((region, np.ascontiguousarray(values, np.int16)))
        return given

    def _order(self, given: list[tuple[Region, np.ndarray | None]], order: np.ndarray | None, steps: int) -> np.ndarray:
        """The sample of each step, int64 [steps], within every input."""
        order = np.arange(steps) if order is None else np.asarray(order)
        if order.shape != (steps,) or order.dtype.kind not in "iu":
            raise InputError(f"order must be {steps} integers, one a step, not {order.dtype} {list(order.shape)}")
        for region, values in given:
            assert values is not None
            if order.min() < 0 or order.max() >= len(values):
                raise InputError(f"{region.name} must have a sample for every step, but has {len(values)}")
        return np.ascontiguousarray(order, np.int64)

    def _regions(self, items: list[tuple[Region, np.ndarray | None]]) -> Regions:
        segments = np.zeros((len(items), 3), np.int64)
        places = [self._place(region) for region, _ in items]
        for segment, (region, values) in zip(segments, items, strict=True):
            address = 0 if values is None else values.ctypes.data
            segment[:] = _STORES.index(region.store), self._place(region).size, address
        return Regions(segments, np.concatenate([np.empty(0, np.int64), *places]))

    def _outputs(self, regions: dict[str, Region], collected: np.ndarray) -> dict[str, np.ndarray]:
        if not regions:
            return read_outputs(self.program, self.image)
        found, first = {}, 0
        for name, region in regions.items():
            count = self._place(region).size
            found[name] = collected[:, first : first + count].reshape(len(collected), *region.shape)
            first += count
        return found
