"""Functional coverage: which crosses of coverpoints are asked for, and which of their points cannot be, with reasons.

A rule's reason is a rule of `arch.legal`, of `arch.timing` or of arithmetic. `testbenches.coverage` refuses a sample
that hits an excluded point, so a rule that excludes too much is found; one that excludes too little leaves a hole.
"""

from __future__ import annotations

from arch.isa import Compute, Halt, Load, Loss, Transfer
from testbenches import coverpoints as at
from testbenches import load_coverpoints as load
from testbenches import loss_coverpoints as loss
from testbenches import transfer_coverpoints as transfer
from testbenches.crosses import Group, Rule
from testbenches.nest_groups import NEST_GROUPS

LOSS_RULES = (
    Rule(
        "the softmax of one logit is 1, and less 1 for its label it is 0",
        lambda p: p["count"] == "one" and p["event"] == "saturation" and p["label's value"] == "in range",
    ),
)
LOAD_RULES = (Rule("a bias is one row", lambda p: p["operation"] == "bias" and p["count"] != "one"),)

_OVERWRITTEN = Rule("written lines do not overlap", lambda p: p["direction"] == "out" and p["lines"] == "overlapping")

_L, _S, _T = (Load,), (Loss,), (Transfer,)
GROUPS = (
    Group("instruction, tokens", (Halt, Load, Compute, Loss, Transfer), (at.KIND, at.WAIT, at.SIGNAL)),
    *NEST_GROUPS,
    Group("LOAD, count, weight beats", _L, (load.LOAD, load.LOAD_COUNT, at.BEATS), LOAD_RULES),
    Group(
        "LOAD's row",
        _L,
        (load.LOAD, load.LOAD_ROW),
        (Rule("a vector is no row", lambda p: p["operation"] == "vector"),),
    ),
    Group("LOAD's source", _L, (load.LOAD_SPACE, load.LOAD_SOURCE)),
    Group("LOSS, count, label, event", _S, (loss.LOSS_COUNT, loss.LABEL, loss.LOSS_EVENT), LOSS_RULES),
    Group("LOSS, fractions", _S, (loss.SOURCE_FRACTION, loss.TARGET_FRACTION)),
    *(
        Group(f"LOSS, {point.name}'s place", _S, (loss.LOSS_SPACE, point))
        for point in (loss.LOSS_SOURCE, loss.LOSS_LABEL, loss.LOSS_TARGET)
    ),
    Group("TRANSFER, memory, lines", _T, (transfer.DIRECTION, transfer.MEMORY, transfer.LINE), (_OVERWRITTEN,)),
    Group("TRANSFER, direction, memory, bursts", _T, (transfer.DIRECTION, transfer.MEMORY, transfer.BURSTS)),
    Group("TRANSFER, direction, memory, engines", _T, (transfer.DIRECTION, transfer.MEMORY, transfer.RAN_BESIDE)),
    Group("TRANSFER, direction, beats of a word", _T, (transfer.DIRECTION, transfer.BEATS)),
    Group("TRANSFER, direction, memory, storage", _T, (transfer.DIRECTION, transfer.MEMORY, transfer.STORAGE)),
    Group("TRANSFER, lines, storage", _T, (transfer.LINE, transfer.STORAGE)),
    Group("TRANSFER, memory, place", _T, (transfer.MEMORY, transfer.PLACE)),
    Group("TRANSFER, memory, pages", _T, (transfer.MEMORY, transfer.PAGES)),
    Group("TRANSFER, memory, count", _T, (transfer.MEMORY, transfer.COUNT)),
    Group("TRANSFER, direction, pitch", _T, (transfer.DIRECTION, transfer.PITCH)),
    Group("TRANSFER, direction, place outside", _T, (transfer.DIRECTION, transfer.OUTSIDE)),
)
"""Every cross that is asked for."""
