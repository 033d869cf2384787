"""Rules of COMPUTE that several groups or several instructions are needed for."""

from __future__ import annotations

from dataclasses import replace

from arch.chip import Chip
from arch.isa import Base, Compute, Space, Traversal
from arch.modes import mode_fields
from arch.nest_rules import chain_problems, nest_problems
from arch.timing import duration

TINY = Chip.load("tiny")
WEIGHTS = Compute(
    **mode_fields("convolution_weights"),
    base=Base.ROW,
    iterations=2,
    outer=2,
    row_outer=2,
    pixel_space=Space.GRADIENT,
)
POINTS = Compute(**mode_fields("pixelwise"), traversal=Traversal.PIXELS, width=3, source_width=3, target=8, hold=1)


def test_groups_update_rows_of_their_own():
    assert not list(nest_problems(WEIGHTS, TINY))
    assert any("rows of its own" in problem for problem in nest_problems(replace(WEIGHTS, row_outer=1), TINY))
    assert not list(nest_problems(replace(WEIGHTS, row_outer=1, base=Base.NONE), TINY))


def test_what_is_kept_was_held():
    last = replace(POINTS, hold=0, keep=1)
    assert not list(chain_problems([POINTS, replace(POINTS, keep=1), last], TINY))
    assert any("keep needs a COMPUTE" in problem for problem in chain_problems([last], TINY))
    wider = [POINTS, replace(last, width=4, source_width=4)]
    assert any("only some were held" in problem for problem in chain_problems(wider, TINY))
    more = [POINTS, replace(last, iterations=2)]
    assert any("only some were held" in problem for problem in chain_problems(more, TINY))


def test_a_scatter_writes_beside_its_pixels():
    scatter = Compute(**mode_fields("scatter"), traversal=Traversal.RASTER, width=2, source_width=2, target=2)
    assert not list(nest_problems(scatter, TINY))
    assert any("overlap the pixels" in problem for problem in nest_problems(replace(scatter, target=1), TINY))


def test_a_block_walk_that_emits_at_the_end_lasts_as_long_as_its_blocks():
    dense = Compute(**mode_fields("dense"), traversal=Traversal.BLOCK, width=8, target_space=Space.GRADIENT)
    assert duration(dense, TINY) > duration(replace(dense, width=4), TINY) > 0


def test_a_line_buffer_holds_the_columns_that_windows_meet():
    chip = TINY.replace(traversal="line_buffer", line_buffer_words=5)
    walk = Compute(
        **mode_fields("convolution"), traversal=Traversal.RASTER, width=5, source_width=6, pad_left=1, target=32
    )
    assert not list(nest_problems(walk, chip))
    (problem,) = nest_problems(replace(walk, width=6), chip)
    assert "at most 5 columns" in problem and "line_buffer_words" in problem
    assert not list(nest_problems(replace(walk, width=6, traversal=Traversal.SNAKE), TINY))
    assert list(nest_problems(replace(walk, traversal=Traversal.SNAKE), chip)) == ["traversal must be RASTER"]
