"""The paper's chip at 65 nm, the reference workload: area, power, time and energy beside the paper's own numbers.

python benchmarks/paper.py
"""

from __future__ import annotations

from arch.chip import Chip
from tinycl.paper import Line, compare
from tinycl.reference import compile_reference, train_report


def told(line: Line) -> str:
    """One line of the comparison."""
    item = line.estimate
    where = "inside" if line.inside else "outside"
    bar = f"{item.central:.3g} {line.unit} ({item.low:.3g} to {item.high:.3g}, {item.width:.2f} times)"
    return f"{line.name}: {bar}; the paper's {line.paper:g} {line.unit} is {where}: {line.why}"


def main() -> None:
    build = compile_reference(Chip.load("paper"))
    one_port = train_report(compile_reference(Chip.load("paper-one-port"))).cycles
    assert build.program
    lines, found = compare(build.program, one_port)
    print(f"logic and memory tables: technology {found.technology} (docs/estimation.md); {found.voltage:g} V central")
    for line in lines:
        print(told(line))
    print("central energy of a step by component:")
    for name, item in found.by_component().items():
        if item.central > 0.001 * found.total.central:
            print(f"  {name}: {item.described('J')}, {item.central / found.total.central:.1%}")
    print("what each doubt alone would make of the total (times):")
    for name, (low, high) in found.doubts.items():
        print(f"  {name.replace('_', ' ')}: {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
