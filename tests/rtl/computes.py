"""Random legal COMPUTEs of every mode, and what must be loaded before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from arch.chip import Chip
from arch.isa import (
    BYTE_BITS,
    Base,
    Compute,
    Destination,
    Emission,
    Instruction,
    Load,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Route,
    Space,
    Stationary,
    Storage,
    Traversal,
)
from arch.legal import problems
from arch.modes import BY_LANE, MODES, SKIPPING, mode_fields


class Misfit(Exception):
    """What was drawn does not fit the chip: draw again."""


class Draw:
    """Draws COMPUTEs of one mode on one chip."""

    def __init__(self, mode: str, chip: Chip, rng: np.random.Generator):
        self.name, self.mode, self.chip, self.rng = mode, MODES[mode], chip, rng

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def one_to(self, most: int) -> int:
        return 1 + self.below(most)

    def chance(self, one_in: int) -> bool:
        return self.below(one_in) == 0

    def compute(self) -> Compute:
        """A legal COMPUTE that neither keeps nor holds."""
        while True:
            try:
                compute = Compute(**self._fields())
            except Misfit:
                continue
            if not list(problems(compute, self.chip)):
                return compute

    def _fields(self) -> dict[str, Any]:
        f: dict[str, Any] = dict(mode_fields(self.name), height=self.one_to(5), width=self.one_to(7))
        f["traversal"] = self._traversal()
        f["iterations"] = self.one_to(self._most_iterations())
        f["negate"] = self.below(2)
        f["source_space"] = space = Space(self.below(2))
        f["pixel_space"] = Space(1 - space)
        self._groups(f)
        self._kernel_taps(f)
        if self.mode.moving == Moving.KERNEL:
            self._scatter(f)
        if self.mode.moving in (Moving.WINDOW, Moving.BLOCK):
            self._source(f)
        self._skip(f)
        if self.mode.stationary in (Stationary.PIXEL, Stationary.MATCH) or (f.get("skip") and f.get("mask")):
            self._pixel(f)
        self._rows(f)
        if not self._writes_rows():
            self._target(f)
        self._numbers(f)
        return f

    def _traversal(self) -> Traversal:
        if self.mode.moving in (Moving.WINDOW, Moving.UNIT):
            return (Traversal.SNAKE, Traversal.RASTER)[self.below(2)]
        if self.mode.moving == Moving.KERNEL:
            return Traversal.RASTER
        return Traversal.BLOCK if self.name.startswith("dense") or self.name == "rows" else Traversal.PIXELS

    def _most_iterations(self) -> int:
        mode, chip = self.mode, self.chip
        if self.name in BY_LANE or mode.moving in (Moving.ONE, Moving.UNIT):
            return 1
        limits = [chip.multipliers]
        if mode.stationary == Stationary.KERNEL or mode.moving == Moving.KERNEL:
            limits.append(chip.kernel_registers)
        if mode.moving_route == Route.TAP or mode.stationary == Stationary.PIXEL or mode.reduction == Reduction.LANES:
            limits.append(chip.lanes)
        if mode.emission == Emission.POSITION and mode.reduction == Reduction.BOTH:
            limits.append(chip.lanes)
        if mode.emission == Emission.END and mode.reduction in (Reduction.NONE, Reduction.TAPS):
            limits.append(chip.accumulator_banks)
        return min(limits)

    def _groups(self, f: dict[str, Any]) -> None:
        outer, inner = (1, 1) if self.chance(3) else (self.one_to(3), self.one_to(3))
        if f["traversal"] == Traversal.BLOCK:
            outer = inner = 1
        if self.name in BY_LANE or self.mode.moving == Moving.KERNEL:
            inner = 1
        if self.mode.moving in (Moving.ONE, Moving.UNIT):
            outer = inner = 1
        if inner > 1 and self.mode.emission == Emission.POSITION:
            self._fit_cells(f)
        f |= {"outer": outer, "inner": inner}

    def _fit_cells(self, f: dict[str, Any]) -> None:
        """Positions that have an accumulator each."""
        if f["height"] * f["width"] > self.chip.accumulator_banks * self.chip.taps:
            raise Misfit

    def _kernel_taps(self, f: dict[str, Any]) -> None:
        if f["traversal"] != Traversal.PIXELS:
            return
        planes = self.mode.moving == Moving.ONE or self.chance(4)
        rows, columns = (1 if planes else self.one_to(3)), self.one_to(3)
        if self.chance(3):
            rows = columns = 1
        f |= {"kernel_height": rows, "kernel_width": columns, "planes": int(planes)}
        f |= {"step": self.one_to(7) if self.chance(2) else self.one_to(2), "dilation": self.one_to(3)}
        f |= {"pad_top": self.below(4), "pad_left": self.below(4)}
        f |= {name: self.below(4) for name in ("tap", "tap_row", "tap_column", "tap_outer")}
        last = f["tap"] + (rows - 1) * f["tap_row"] + (columns - 1) * f["tap_column"]
        if last + (f["outer"] - 1) * f["tap_outer"] >= self.chip.taps:
            f |= dict.fromkeys(("tap", "tap_row", "tap_outer"), 0)
            f["tap_column"] = int(columns <= self.chip.taps)

    def _scatter(self, f: dict[str, Any]) -> None:
        side = self.chip.kernel
        f["width"] = max(f["width"], side)
        if -(-(f["width"] + side - 1) // side) > self.chip.accumulator_banks:
            f["width"] = side
        if -(-(f["width"] + side - 1) // side) > self.chip.accumulator_banks:
            raise Misfit
        f |= {"pad_top": self.below(min(f["height"], 4)), "pad_left": self.below(min(f["width"], 4))}
        f |= {"source_height": self.one_to(f["height"]), "source_width": self.one_to(f["width"])}
        f["source_space"] = Space(self.below(2))

    def _within(self, space: Space, span: int) -> int:
        """Where a span of words may begin."""
        room = (self.chip.feature_words if space == Space.FEATURE else self.chip.gradient_words) - span
        if room < 0:
            raise Misfit
        return self.below(room + 1)

    def _source(self, f: dict[str, Any]) -> None:
        windows, side = self.mode.moving == Moving.WINDOW, self.chip.kernel
        if windows:
            f |= {"pad_top": self.below(side), "pad_left": self.below(side)}
        height, width = f["height"], f["width"]
        if f["traversal"] != Traversal.BLOCK:
            height = max(1, (height - 1) * f.get("step", 1) + self.below(4) - f["pad_top"])
            width = max(1, (width - 1) * f.get("step", 1) + self.below(4) - f["pad_left"])
        if windows:
            height = max(height, f["height"] - f["pad_top"])
            width = max(width, f["width"] - f["pad_left"])
        f |= {"source_height": height, "source_width": width}
        pitch = width + self.below(4)
        if windows and height > 1:
            pitch += (1 - pitch) % side
        if self.mode.stationary == Stationary.MATCH:
            f["pixel_pitch"] = pitch
        f["source_pitch"] = pitch
        f |= {"source_group": self.below(40), "source_plane": self.below(20)}
        groups = f["outer"] if self.name in BY_LANE else f["inner"]
        planes = f["kernel_width"] if f.get("planes") else 1
        span = (groups - 1) * f["source_group"] + (planes - 1) * f["source_plane"] + (height - 1) * pitch + width
        f["source"] = self._within(f["source_space"], span)
        f["_source_span"] = range(f["source"], f["source"] + span)

    def _pixel(self, f: dict[str, Any]) -> None:
        height, width = f["height"], f["width"]
        if self.mode.stationary == Stationary.MATCH or self.mode.moving == Moving.KERNEL:
            height, width = f["source_height"], f["source_width"]
        f |= {"pixel_pitch": f.get("pixel_pitch", width + self.below(4)), "pixel_plane": self.below(30)}
        planes = f["outer"] - 1 + (f.get("kernel_width", 1) - 1 if self.mode.moving == Moving.ONE else 0)
        span = planes * f["pixel_plane"] + (height - 1) * f["pixel_pitch"] + width
        f["pixel"] = self._within(f["pixel_space"], span)

    def _writes_rows(self) -> bool:
        mode = self.mode
        if mode.emission == Emission.END:
            return mode.reduction == Reduction.NONE or (
                mode.reduction == Reduction.TAPS and mode.stationary == Stationary.PIXEL
            )
        return mode.emission in (Emission.STEP, Emission.ROW)

    def _skip(self, f: dict[str, Any]) -> None:
        if self.name not in SKIPPING or self.chance(2):
            return
        if self.mode.stationary == Stationary.KERNEL or self.mode.moving == Moving.KERNEL:
            f |= {"outer": 1, "inner": 1}
        f["skip"] = 1
        if self.name == "convolution":  # the pixels are the mask
            f["mask"] = 1

    def _rows(self, f: dict[str, Any]) -> None:
        chip, mode = self.chip, self.mode
        iterations, groups = f["iterations"], f["outer"] * f["inner"]
        blocks = -(-f["height"] * f["width"] // chip.taps)
        kernels = mode.stationary == Stationary.KERNEL or mode.moving == Moving.KERNEL
        if mode.emission == Emission.ROW:
            f |= {"row_inner": self.below(6) if self.chance(2) else (1 << 16) - self.below(6)}
            f["row"], f["target_row"] = self._row(blocks), self._row(blocks)
            last = (f["row"] + (iterations - 1) * f["row_inner"]) % (1 << 16)
            if self.chance(2):
                f["target_row"] = last
        elif mode.stationary == Stationary.STREAM or mode.emission == Emission.STEP:
            f["row"] = self._row(blocks * iterations)
        elif self._writes_rows():
            f["row_inner"] = iterations + self.below(3)
            f["row_outer"] = f["inner"] * f["row_inner"] + self.below(3)
            f["row"] = self._row((f["outer"] - 1) * f["row_outer"] + f["inner"] * f["row_inner"])
        elif kernels and not f.get("skip") and self.chance(2):
            f |= {"reload": 1, "rotate": self.below(2), "row_inner": self.below(6), "row_outer": self.below(9)}
            f["row"] = self._row(groups * 9 + iterations)

    def _row(self, count: int) -> int:
        if count > self.chip.weight_rows:
            raise Misfit
        return self.below(self.chip.weight_rows - count + 1)

    def _target(self, f: dict[str, Any]) -> None:
        """Where words go; the mask, unless its memory already brings pixels."""
        takes_pixels = "pixel" in f
        moves = self.mode.moving in (Moving.WINDOW, Moving.BLOCK)
        space = Space(self.below(2)) if not takes_pixels else Space(1 - f["pixel_space"])
        masked = self.mode.emission == Emission.POSITION and not (takes_pixels or f.get("skip")) and self.chance(2)
        if masked and moves:
            space = f["source_space"]
        f |= {"target_space": space, "target_pitch": self.below(7 * f["width"] + 3), "target_outer": self.below(40)}
        f |= {"target_step": self.one_to(7) if self.chance(2) else 1, "relu": self.below(2)}
        rows, columns = (f["height"] - 1), (f["width"] - 1) * f["target_step"]
        if self.mode.emission == Emission.END:
            f["target_step"] = 1
            rows, columns = 0, self.chip.taps
        span = (f["outer"] - 1) * f["target_outer"] + rows * f["target_pitch"] + columns + 1
        f["target"] = self._within(space, span)
        source = f.get("_source_span")
        if source and space == f["source_space"] and f["target"] < source.stop and source.start < f["target"] + span:
            raise Misfit
        if masked:
            f |= {"mask": 1, "mask_space": Space(1 - space)}
            f |= {"mask_pitch": self.below(7 * f["width"] + 3), "mask_outer": self.below(40)}
            span = (f["outer"] - 1) * f["mask_outer"] + rows * f["mask_pitch"] + columns + 1
            f["mask_source"] = self._within(f["mask_space"], span)

    def _numbers(self, f: dict[str, Any]) -> None:
        f.pop("_source_span", None)
        f.setdefault("target_row", 0)
        if self._writes_rows():
            f["base"] = Base.ROW
            in_place = f["target_row"] == (f["row"] + (f["iterations"] - 1) * f.get("row_inner", 0)) % (1 << 16)
            if (self.mode.emission == Emission.ROW and not in_place) or (
                self.mode.emission == Emission.END and self.chance(4)
            ):
                f["base"] = Base.NONE
        else:
            f["base"] = Base(self.below(2))
            f["bias_word"] = self.below(self.chip.taps - f["outer"] + 1) if f["base"] == Base.BIAS else 0
        f |= {"base_shift": self.below(14), "rounding": Rounding(self.below(4)), "overflow": Overflow(self.below(2))}
        f["target_storage"] = Storage(int(self.chip.word_bits > BYTE_BITS and self.chance(3)))
        f["shift"] = self.below(18) if self.below(8) else self.below(self.chip.accumulator_bits)


def held(compute: Compute, draw: Draw) -> list[Compute]:
    """`compute` in two: one that holds, and one that keeps, with other words and kernels."""
    if compute.emission in (Emission.STEP, Emission.ROW):
        return [compute]
    parts = [replace(compute, hold=1), replace(compute, keep=1, negate=draw.below(2))]
    return [compute] if any(list(problems(part, draw.chip)) for part in parts) else parts


def loads_for(compute: Compute, chip: Chip, rng: np.random.Generator) -> list[Instruction]:
    """Registers filled at random before a COMPUTE that uses them."""
    found: list[Instruction] = []

    def below(limit: int) -> int:
        return int(rng.integers(limit))

    if compute.moving == Moving.VECTOR or compute.stationary == Stationary.VECTOR:
        count = 1 + below(chip.taps)
        found.append(Load(destination=Destination.VECTOR, count=count, space=Space(below(2)), source=below(100)))
    if compute.stationary == Stationary.KERNEL or compute.moving == Moving.KERNEL:
        transpose = below(2)
        count = 1 + below(min(chip.kernel_registers, chip.lanes) if transpose else chip.kernel_registers)
        row, rotate = below(chip.weight_rows - count + 1), below(2)
        found.append(Load(destination=Destination.KERNEL, transpose=transpose, rotate=rotate, row=row, count=count))
    if compute.base == Base.BIAS:
        found.append(Load(destination=Destination.BIAS, row=below(chip.weight_rows)))
    return found
