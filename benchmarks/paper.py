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
    found = compare(build.program, one_port)
    item = found.energy
    print(f"logic and memory tables: technology {item.technology} (docs/estimation.md); {item.voltage:g} V central")
    for line in found.lines:
        print(told(line))
    lean = found.lean_energy
    print(f"a lean chip: {found.lean_area.total.central:.3g} mm2, {lean.power.central:.3g} W, both in the ranges above")
    bare = found.ungated.power
    print(f"without clock gates: {bare.central:.3g} W ({bare.low:.3g} to {bare.high:.3g}), not in the ranges above")
    print("central energy of a step, and area, by component:")
    sizes = {name: size for part in found.area.tree.values() for name, size in part.items()}
    for name, joules in item.by_component().items():
        share = f"{joules.described('J')}, {joules.central / item.total.central:.1%}" if joules.central else "no energy"
        print(f"  {name}: {share}" + (f"; {sizes[name].central:.3g} mm2" if name in sizes else ""))
    print("what each doubt alone would make of the energy (times):")
    for name, (low, high) in item.doubts.items():
        print(f"  {name.replace('_', ' ')}: {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
