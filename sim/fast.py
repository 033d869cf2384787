"""The fast simulator: the same bits and counts as the machine, an instruction's whole arithmetic at once.

The order of exact sums does not matter, so values follow from each instruction alone; cycles and all events that do not
depend on values follow from `arch.timing` and `arch.counts`, once for each entry.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from arch.errors import InputError
from arch.isa import ENGINES, Engine
from arch.layout import Region, Store
from arch.program import Program
from arch.retirement import Retirement, digests
from sim.fast_loop import Regions, loop
from sim.fast_plan import Passes, Plan, plan_of
from sim.fast_table import Memories, scratch, sizes
from sim.result import Result, read_outputs

_STORES = (Store.FEATURE, Store.GRADIENT, Store.WEIGHT, Store.EXTERNAL)


class FastMachine:
    """A chip running one program; `image` and the registers are kept from run to run.

    `image` is a copy of the program's; its arrays stay the machine's own. Registers are zero when the machine is made.
    Raises `ProgramError` if the program is not legal.

    >>> import numpy as np
    >>> import tinycl
    >>> program = tinycl.compile(tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)).program
    >>> machine = FastMachine(program)
    >>> result = machine.run("infer", {"input": np.zeros((2, 6, 6, 1), np.int16)}, steps=2, collect=("logits",))
    >>> result.outputs["logits"].tolist()
    [[0, 0, 0], [0, 0, 0]]
    """

    def __init__(self, program: Program):
        program.check()
        self.program = program
        self.image = program.image.copy()
        chip = program.chip
        self._sizes = sizes(chip)
        self._kernels = np.zeros(chip.kernel_registers * chip.multipliers, np.int16)
        self._bias = np.zeros(chip.multipliers, np.int16)
        self._cells = np.zeros(chip.accumulator_banks * chip.multipliers)
        self._plans: dict[str, Plan] = {}
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
        count_zeros: bool = False,
    ) -> Result:
        """Run `entry` `steps` times.

        `inputs`: for some of the program's inputs, integers [samples, *region.shape] within the chip's word; step i is
        given sample order[i], or sample i without `order` (integers [steps]). `collect` names output regions whose
        values of every step are returned, int16 [steps, *shape], instead of all outputs' values after the last one.
        `trace` (one step alone) records every instruction's retirement. ZERO_PRODUCTS are counted with `count_zeros` or
        `trace`, which takes over ten times as long; otherwise they are `UNCOUNTED`. Raises `InputError` on unfit
        arguments.
        """
        if steps < 1 or (trace and steps != 1):
            raise InputError(f"steps must be {'1 with a trace' if trace else 'at least 1'}, not {steps}")
        plan = self._plan(entry)
        given = self._given(inputs or {})
        samples = self._order(given, order, steps)
        outputs = [self._region(self.program.outputs, name) for name in collect]
        collected = np.empty((steps, sum(self._place(region).size for region in outputs)), np.int16)
        passes = Passes(plan, count_zeros or trace)
        staged, taken, none = self._regions(given), self._regions([(r, None) for r in outputs]), self._regions([])
        if trace:
            self._loop(passes, slice(0), staged, samples, none, collected)
            self._trace(passes, entry)
            self._loop(passes, slice(0), none, samples, taken, collected)
        elif plan.skipping:  # each step lasts and counts as its values want
            for i in range(steps):
                part = slice(i, i + 1)
                self._loop(passes, slice(None), staged, samples[part], taken, collected[part])
                passes.add(plan.as_made(self.program.chip), 1)
        else:
            self._loop(passes, slice(None), staged, samples, taken, collected)
            passes.add(plan, steps)
        return passes.result(self._outputs(dict(zip(collect, outputs, strict=True)), collected))

    def _loop(
        self,
        passes: Passes,
        rows: slice,
        given: Regions,
        samples: np.ndarray,
        taken: Regions,
        collected: np.ndarray,
    ) -> None:
        """Run some rows of the plan once for each sample."""
        table, values = passes.plan.table[rows], passes.values[rows]
        part = self._memories(), self._scratch, given, samples, taken, collected
        loop()(self._sizes, table, *part, values, passes.plan.made, passes.zeros)

    def _trace(self, passes: Passes, entry: str) -> None:
        """Run the plan, an instruction after another, and note each one's retirement."""
        chip, plan, none = self.program.chip, passes.plan, self._regions([])
        used: dict[tuple[Engine, int], tuple[int, ...]] = {}
        for row in range(plan.table.size):
            self._loop(passes, slice(row, row + 1), none, np.zeros(1, np.int64), none, np.empty((1, 0), np.int16))
            engine, index = plan.slot(row)
            used[engine, index] = digests(plan.streams[engine][index], self.image, chip)
        passes.add(plan.as_made(chip), 1)
        events = {engine: values.cumsum(axis=0) for engine, values in passes.per_instruction().items()}
        first = {engine: self.program.first(entry, engine) for engine in ENGINES}
        for slot in passes.slots:
            engine, index = slot.engine, slot.index
            counters = tuple(events[engine][index].tolist())
            end = Retirement(engine, first[engine] + index, slot.last, counters, used[engine, index])
            passes.retirements.append(end)

    def _plan(self, entry: str) -> Plan:
        if entry not in self._plans:
            self._plans[entry] = plan_of(self.program.entry_streams(entry), self.program.chip)
        return self._plans[entry]

    @cached_property
    def _scratch(self):
        instructions = [item for stream in self.program.streams.values() for item in stream]
        return scratch(instructions, self.program.chip)

    def _memories(self) -> Memories:
        image = self.image
        flat = image.feature, image.gradient, image.weight, image.random, self._kernels, self._bias
        outside = image.external.reshape(-1)
        bytes_outside = outside.view(np.int8)
        return Memories(*(array.reshape(-1) for array in (*flat, outside, bytes_outside, self._cells)))

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
            largest = region.largest(chip)
            if values.size and (values.max() > largest or values.min() < -largest - 1):
                raise InputError(f"{name} has values beyond {largest.bit_length() + 1} bits")
            given.append((region, np.ascontiguousarray(region.spread(values.astype(np.int16)))))
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
        places = [
            self._place(region) if values is None else region.targets(self.program.chip) for region, values in items
        ]
        for segment, places_of, (region, values) in zip(segments, places, items, strict=True):
            address = 0 if values is None else values.ctypes.data
            store = len(_STORES) if region.bytes_outside else _STORES.index(region.store)
            segment[:] = store, places_of.size, address
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
