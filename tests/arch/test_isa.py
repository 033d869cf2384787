"""Instructions: encoding, legality, and the promise that accumulators never overflow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch import fields
from arch.chip import Chip
from arch.isa import (
    EXECUTED,
    INSTRUCTION_BITS,
    KINDS,
    Base,
    Compute,
    Elementwise,
    Engine,
    Halt,
    Load,
    Loss,
    Moving,
    Stationary,
    Transfer,
    Traversal,
    decode,
    encode,
)
from arch.legal import IllegalInstruction, check, problems
from arch.modes import MODES, mode_fields, mode_of
from arch.ordering import stream_problems
from arch.spans import sum_terms

PAPER = Chip.load("paper")
CONV = Compute(
    **mode_fields("convolution"),
    iterations=8,
    height=8,
    width=8,
    source_height=8,
    source_width=8,
    pad_top=1,
    pad_left=1,
    source_pitch=10,
    target=1000,
    target_pitch=8,
    shift=12,
)


@st.composite
def instructions(draw):
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    values = {}
    for field in fields.layout(kind)[1:]:
        if field.enum:
            values[field.name] = draw(st.sampled_from(list(field.enum)))
        elif field.kind == "address":
            values[field.name] = draw(st.integers(0, PAPER.kernel * (1 << fields.ROW_BITS) - 1))
        else:
            values[field.name] = draw(st.integers(0, field.limit - 1))
    return kind(**values)


@given(instructions())
def test_encoding_is_reversible(instruction):
    bits = encode(instruction, PAPER)
    assert bits.bit_length() <= INSTRUCTION_BITS
    assert decode(bits, PAPER) == instruction


def test_fields_do_not_overlap():
    for kind in KINDS.values():
        end = 0
        for field in fields.layout(kind):
            assert field.offset == end
            end += field.bits
            if field.enum:
                assert max(field.enum) < field.limit


def test_modes_are_told_apart():
    assert len(set(MODES.values())) == len(MODES)
    for name in MODES:
        assert mode_of(Compute(**mode_fields(name))) == name
    assert mode_of(replace(CONV, moving=Moving.ONE)) is None


@pytest.mark.parametrize(
    ("instruction", "word"),
    [
        (replace(CONV, iterations=9), "iterations must be 1 to 8"),
        (replace(CONV, stationary=Stationary.STREAM), "no mode"),
        (replace(CONV, source_pitch=9), "source_pitch"),
        (replace(CONV, target=10), "overlap"),
        (replace(CONV, target=4090), "target must end within"),
        (replace(CONV, height=20), "height must be at most 9"),
        (replace(CONV, pad_top=3), "pad_top"),
        (replace(CONV, traversal=Traversal.BLOCK), "traversal"),
        (replace(CONV, skip=1), "skip needs a mask"),
        (Load(sparse_index=1), "sparse_index must be 0"),
        (replace(CONV, base=Base.ROW), "base"),
        (replace(CONV, mask=1), "mask_space must differ from target_space"),
        (replace(CONV, shift=48), "shift"),
        (replace(CONV, base=Base.BIAS, base_shift=40), "overflow"),
        (replace(CONV, wait=8), "engines of this version"),
        (replace(CONV, width=-1), "width"),
        (Load(count=9), "count must be 1 to 8"),
        (Load(row=1250, count=2), "row must end within"),
        (Loss(count=100), "count must be 1 to 72"),
        (Transfer(count=0), "count and lines"),
        (Elementwise(), "not executed"),
    ],
)
def test_what_does_not_exist_is_refused(instruction, word):
    with pytest.raises(IllegalInstruction, match=word):
        check(instruction, PAPER)


def test_what_exists_passes():
    check(CONV, PAPER)
    assert {kind for kind in KINDS if not list(problems(KINDS[kind](), PAPER))} <= set(EXECUTED)


def test_the_overflow_bound_is_reached_by_the_worst_words():
    dense = Compute(**mode_fields("dense"), traversal=Traversal.BLOCK, height=4, width=9, iterations=2, source_pitch=9)
    worst = np.full(36 * 8, -32768, dtype=object)
    assert int((worst * worst).sum()) == sum_terms(dense, PAPER) << 30


def test_engines_that_share_a_memory_need_a_token():
    vector, array = Engine.VECTOR, Engine.ARRAY
    free = {array: [CONV, Halt()], vector: [Loss(count=10), Halt()]}
    assert any("share the feature memory" in item for item in stream_problems(free, PAPER))
    ordered = {
        array: [replace(CONV, signal=1 << vector), Halt()],
        vector: [Loss(count=10, wait=1 << array), Halt()],
    }
    assert not list(stream_problems(ordered, PAPER))


def test_deadlock_and_lost_tokens_are_seen():
    vector, array = Engine.VECTOR, Engine.ARRAY
    stuck = {array: [Halt(wait=1 << vector)], vector: [Halt(wait=1 << array)]}
    assert any("deadlock" in item for item in stream_problems(stuck, PAPER))
    lost = {array: [Halt(signal=1 << vector)], vector: [Halt()]}
    assert any("must be waited for" in item for item in stream_problems(lost, PAPER))
    endless = {array: [CONV], vector: [Halt()]}
    assert any("HALT must be the last" in item for item in stream_problems(endless, PAPER))
