"""The campaign: random programs on random chips, simulators and RTL in lock-step, with coverage; `make verify`.

    .venv/bin/python -m testbenches.campaign --programs 1000 --chips 20 --workers 2 --seed 1

Programs and results follow from the seed, whatever the number of workers. Ends at the first difference.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path

from arch.chip import Chip
from arch.files import write_whole
from testbenches.campaign_page import Campaign, page
from testbenches.campaign_share import Share, Tally, replay, run_share
from testbenches.code_coverage import TARGETS, CodeCoverage
from testbenches.coverage import Coverage
from testbenches.generate_chips import random_chips

Submit = Callable[[Iterable[Share]], Iterable[Tally]]
"""Runs shares; their tallies come as they end."""
SHIPPED = {"tiny": 1.0, "paper": 0.3}
"""Shipped chips that are run, and how many programs each gets for one of a random chip: paper's memories load long."""
_INSTRUMENTED = 3
"""How many times as many programs run where lines and toggles are counted."""
_CLOSING_ROUNDS = 24
_CLOSING_CHIPS = 4
_CLOSING_DRAWS = 40
"""Rounds of programs for holes, chips of a round, one after the other in turn, and draws on each."""


@dataclass(frozen=True)
class Plan:
    """What is run: `programs` on the shipped chips and `chips` random ones; lines and toggles on `instrumented`."""

    programs: int
    chips: int
    workers: int
    seed: int
    instrumented: int = 5
    folder: Path = Path("build/verify")

    def shares(self) -> list[Share]:
        """Every chip's share, those that take long first."""
        chips = [*(Chip.load(name) for name in SHIPPED), *random_chips(self.chips, self.seed)]
        code = _instrumented(chips, self.instrumented)
        weights = [*SHIPPED.values(), *[1.0] * self.chips]
        weights = [weight * (_INSTRUMENTED if number in code else 1) for number, weight in enumerate(weights)]
        ends = [round(self.programs * part / sum(weights)) for part in accumulate(weights)]
        shares = [
            Share(number, chip, self.seed, end - first, number in code, folder=self.folder)
            for number, (chip, first, end) in enumerate(zip(chips, [0, *ends], ends, strict=False))
        ]
        return sorted(
            shares, key=lambda share: (share.number != 1, not share.code, -share.chip.multipliers, share.number)
        )


def _instrumented(chips: Sequence[Chip], count: int) -> set[int]:
    """The first chip, and of each number of taps in turn the one of the fewest multipliers: they build quickly."""
    smallest = {
        taps: min(
            (number for number in range(len(SHIPPED), len(chips)) if chips[number].taps == taps),
            key=lambda number: (chips[number].multipliers, number),
        )
        for taps in sorted({chip.taps for chip in chips[len(SHIPPED) :]})
    }
    return set([0, *smallest.values()][:count])


def run_campaign(plan: Plan, shares: Sequence[Share] | None = None, rounds: int = _CLOSING_ROUNDS) -> Campaign:
    """Run all shares (the plan's), then, while there are holes, `rounds` times programs that aim at them."""
    begun = time.monotonic()
    shutil.rmtree(plan.folder, ignore_errors=True)
    plan.folder.mkdir(parents=True)
    shares = shares or plan.shares()
    with _workers(plan.workers) as submit:
        tallies = _run_all(shares, plan, submit)
        closing = _closed(tallies, shares, plan, rounds, submit)
    everything = [*tallies, *closing]
    code = CodeCoverage()
    for tally in everything:
        if tally.code is not None:
            code.merge(tally.code)
    return Campaign(
        seed=plan.seed,
        workers=plan.workers,
        chips={share.number: share for share in shares},
        tallies=tallies,
        closing=closing,
        functional=_functional(everything),
        code=code,
        seconds=time.monotonic() - begun,
    )


def _closed(tallies: list[Tally], shares: Sequence[Share], plan: Plan, rounds: int, submit: Submit) -> list[Tally]:
    """What rounds on a few chips each, which know what is open, came to; quick chips first, then the others."""
    closing: list[Tally] = []
    order = sorted(shares, key=lambda share: (share.chip.multipliers, share.number))
    for number in range(rounds):
        known = _functional([*tallies, *closing])
        if any(tally.difference for tally in [*tallies, *closing]) or not known.holes():
            break
        _say(f"round {number + 1} for {sum(map(len, known.holes().values()))} holes")
        turn = [order[(number * _CLOSING_CHIPS + k) % len(order)] for k in range(min(_CLOSING_CHIPS, len(order)))]
        seed = plan.seed + 1000 * (number + 1)
        aimed = [replace(share, seed=seed, programs=_CLOSING_DRAWS, code=False, known=known) for share in turn]
        closing += _run_all(aimed, plan, submit)
    return closing


def _functional(tallies: Sequence[Tally]) -> Coverage:
    total = Coverage()
    for tally in tallies:
        total.merge(tally.functional)
    return total


def _run_all(shares: Sequence[Share], plan: Plan, submit: Submit) -> list[Tally]:
    """The shares' tallies by number, whichever ended first; those left end soon after a difference."""
    found: list[Tally] = []
    for tally in submit(shares):
        found.append(tally)
        done = f"{len(found)}/{len(shares)} {tally.chip}"
        _say(f"{done}: {tally.programs} programs, {tally.clocks:,} clocks, {tally.build_seconds + tally.seconds:.0f} s")
        if tally.difference:
            (plan.folder / "stop").touch()
            _say(tally.difference)
    return sorted(found, key=lambda tally: tally.number)


@contextmanager
def _workers(count: int) -> Iterator[Submit]:
    """What runs shares, in this process or in `count` of its own that live as long as the campaign."""
    if count == 1:
        yield partial(map, run_share)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:

        def submit(shares: Iterable[Share]) -> Iterator[Tally]:
            futures: list[Future[Tally]] = [pool.submit(run_share, share) for share in shares]
            for future in as_completed(futures):
                yield future.result()

        yield submit


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if something differs or too little is covered."""
    parser = argparse.ArgumentParser(
        prog="python -m testbenches.campaign", description="Random programs on random chips; `make verify`."
    )
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--chips", type=int, default=20, help="random chips, beside tiny and paper")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instrumented", type=int, default=5, help="chips with line and toggle coverage")
    parser.add_argument("--page", type=Path, default=Path("docs/verification.md"))
    parser.add_argument("--replay", type=Path, help="run what differed once more, from the folder it was left in")
    given = parser.parse_args(arguments)
    if given.replay:
        outcome = replay(given.replay)
        print(outcome.difference or f"{outcome.ended} after {outcome.cycles} cycles, no difference")
        return int(outcome.difference is not None)
    campaign = run_campaign(Plan(given.programs, given.chips, given.workers, given.seed, given.instrumented))
    differences = [tally.difference for tally in [*campaign.tallies, *campaign.closing] if tally.difference]
    if differences:
        return 1
    write_whole(given.page, page(campaign).encode())
    _say(f"wrote {given.page}: {campaign.functional.percent:.2f} % of the functional points are covered")
    short = [kind for kind, least in TARGETS.items() if campaign.code.percent(kind) < least]
    for kind in short:
        _say(f"{kind} coverage must be {TARGETS[kind]:.0f} %, not {campaign.code.percent(kind):.2f} %")
    return int(bool(short) or bool(campaign.functional.holes()))


if __name__ == "__main__":
    raise SystemExit(main())
