"""The campaign's results as a page: numbers, coverage, and what was left out and why, put into `verification.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from arch.chip import Chip
from testbenches.campaign_share import Share, Tally
from testbenches.code_coverage import KINDS, TARGETS, CodeCoverage
from testbenches.coverage import REACHABLE, Coverage
from testbenches.coverage_fields import UNUSED_MEMBERS
from testbenches.coverage_groups import GROUPS

SHIPPED = 2
"""Shipped chips among the campaign's."""
_MOST_HOLES = 10
_MOST_MISSED = 15


@dataclass(frozen=True)
class Campaign:
    """A campaign's results. `closing` are the tallies of the programs that aimed at holes."""

    seed: int
    workers: int
    chips: dict[int, Share]
    tallies: list[Tally]
    closing: list[Tally]
    functional: Coverage
    code: CodeCoverage
    seconds: float

    def total(self, name: str) -> int:
        """A number of all tallies, added up."""
        return sum(getattr(tally, name) for tally in [*self.tallies, *self.closing])


def page(campaign: Campaign) -> str:
    """The page's text."""
    shares = campaign.chips.values()
    return (
        resources.files("testbenches")
        .joinpath("verification.md")
        .read_text()
        .format(
            numbers=_numbers(campaign),
            chips=_chips(campaign),
            functional=_functional(campaign.functional),
            holes=_holes(campaign.functional),
            excluded=_excluded(),
            members=_table(("value", "reason"), [(": ".join(place), why) for place, why in UNUSED_MEMBERS.items()]),
            instrumented=", ".join(share.chip.name for share in shares if share.code),
            code=_code(campaign.code),
            code_excluded=_table(
                ("points", "reason"), [(f"{count:,}", why) for why, count in campaign.code.excluded.most_common()]
            ),
            missed=_missed(campaign.code),
            command=f"--programs {sum(share.programs for share in shares)} --chips {len(shares) - SHIPPED} "
            f"--workers {campaign.workers} --seed {campaign.seed}",
        )
    )


def _numbers(campaign: Campaign) -> str:
    everything = [*campaign.tallies, *campaign.closing]
    run, build = (sum(getattr(tally, name) for tally in everything) for name in ("seconds", "build_seconds"))
    rows = [
        ("programs", f"{campaign.total('programs'):,}"),
        ("of them aimed at holes", f"{sum(tally.programs for tally in campaign.closing):,}"),
        ("runs", f"{campaign.total('runs'):,}"),
        ("instructions drawn", f"{campaign.total('instructions'):,}"),
        ("chips", len(campaign.chips)),
        ("clock cycles compared", f"{campaign.total('clocks'):,}"),
        ("of them within programs", f"{campaign.total('cycles'):,}"),
        ("differences", sum(bool(tally.difference) for tally in everything)),
        ("functional coverage", f"{campaign.functional.percent:.2f} %"),
        *(
            (f"{kind} coverage", f"{campaign.code.percent(kind):.2f} % (target {TARGETS[kind]:.0f} %)")
            for kind in KINDS
        ),
        ("wall-clock time", f"{campaign.seconds / 60:.1f} minutes, {campaign.workers} workers"),
        ("building; running, all workers", f"{build / 60:.1f}; {run / 60:.1f} minutes"),
        ("speed of a worker", f"{campaign.total('clocks') / run / 1e3:,.0f} thousand compared clock cycles a second"),
    ]
    return _table(("", ""), rows)


def _chips(campaign: Campaign) -> str:
    done = {tally.number: tally for tally in campaign.tallies}
    head = ("chip", "taps", "lanes", "word", "accumulator", "banks", "kernels", "weight banks (beats)")
    rows = [
        (*_sizes(share.chip), done[number].programs, f"{done[number].clocks:,}", "yes" if share.code else "")
        for number, share in sorted(campaign.chips.items())
    ]
    return _table((*head, "programs", "cycles compared", "lines, toggles"), rows)


def _sizes(chip: Chip) -> tuple[object, ...]:
    weights = f"{chip.weight_memory.banks} ({chip.row_beats})"
    arithmetic = (chip.taps, chip.lanes, chip.word_bits, chip.accumulator_bits)
    return (chip.name, *arithmetic, chip.accumulator_banks, chip.kernel_registers, weights)


def _functional(coverage: Coverage) -> str:
    counts = [(name, *coverage.counts(name)) for name in REACHABLE]
    rows = [(name, hit, asked, f"{100 * hit / asked:.1f} %") for name, hit, asked in counts]
    total = sum(hit for _, hit, _ in counts), sum(asked for *_, asked in counts)
    return _table(("group", "hit", "asked", ""), [*rows, ("**all**", *total, f"{coverage.percent:.2f} %")])


def _holes(coverage: Coverage) -> str:
    holes = coverage.holes()
    lines = [
        f"- {name}: {'; '.join(', '.join(point) for point in found[:_MOST_HOLES])}"
        + (f"; and {len(found) - _MOST_HOLES} more" if len(found) > _MOST_HOLES else "")
        for name, found in holes.items()
    ]
    return "Holes:\n\n" + "\n".join(lines) if holes else "There are no holes."


def _excluded() -> str:
    """The rules by which points are left out, and how many each leaves out."""
    return _table(
        ("group", "points", "reason"),
        [(group.name, count, reason) for group in GROUPS for reason, count in Counter(group.excluded.values()).items()],
    )


def _code(code: CodeCoverage) -> str:
    rows = [
        (f"`{module}`", *(cell for kind in KINDS for cell in _cells(code, kind, module))) for module in code.modules
    ]
    total = ("**all**", *(cell for kind in KINDS for cell in _cells(code, kind, None)))
    return _table(("module", "lines", "", "toggles", ""), [*rows, total])


def _cells(code: CodeCoverage, kind: str, module: str | None) -> Iterator[str]:
    places = [place for place in code.asked if place[1] == kind and module in (None, place[0])]
    yield f"{sum(code.reached[place] for place in places):,} / {sum(code.asked[place] for place in places):,}"
    yield f"{code.percent(kind, module):.1f} %"


def _missed(code: CodeCoverage) -> str:
    worst = sorted(code.missed.items(), key=lambda item: (-item[1], item[0]))[:_MOST_MISSED]
    rows = [(f"`{module}`", kind, f"`{what}`", count) for (module, kind, what), count in worst]
    return _table(("module", "kind", "signal", "points"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
