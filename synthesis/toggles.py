"""Power of a user's own mapped netlist from a SAIF file of it: `python -m synthesis.toggles LIBERTY NETLIST.v SAIF`.

Toggles (TC) of every net are priced by the library, glitches too if the simulation had delays. The netlist is Verilog
of the library's cells, whatever tool mapped it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from arch.errors import InputError
from arch.files import read_text
from rtl.verilog import NetlistError
from synthesis.liberty import Library
from synthesis.mapping import _in_process
from synthesis.netlist import Net, Netlist
from synthesis.power import Energy, Tariff
from synthesis.saif import Saif

LARGEST = 1 << 28
"""Bytes of a netlist beyond which it is refused."""
_COMMANDS = ("read_verilog netlist.v", "hierarchy -auto-top", "flatten -noscopeinfo", "write_json out.json")


def verilog_netlist(path: Path, library: Library) -> Netlist:
    """The netlist in a Verilog file, its hierarchy flattened. Raises `InputError` on cells that the library lacks."""
    text = read_text(path, LARGEST)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "netlist.v").write_text(text)
        (folder / "commands.json").write_text(json.dumps(_COMMANDS))
        _in_process(folder, str(path))
        modules = json.loads((folder / "out.json").read_text())["modules"]
    tops = [module for module in modules.values() if "top" in module["attributes"] and module["cells"]]
    if not tops:
        raise InputError(f"{path}: must be mapped to cells of {library.name}, and has none")
    netlist = Netlist.of(tops[0], library)
    unknown = sorted({cell.kind for cell in netlist.cells if cell.group is None})
    if unknown:
        raise InputError(f"{path}: must be mapped to cells of {library.name}, not {', '.join(unknown[:3])}")
    return netlist


def energy_of(netlist: Netlist, saif: Saif, instance: str) -> Energy:
    """Joules of the whole file. Raises `InputError` where the file does not tell every net at a cell's pin."""
    known = {name.replace("\\", ""): bit.toggles for name, bit in saif.bits.items()}
    prefix = f"{instance}." if instance else ""
    counts = {net: known[prefix + name] for name, net in _named(netlist) if prefix + name in known}
    tariff = Tariff.of(netlist)
    wanted = {net for net in (*tariff.toggle, *tariff.clock_toggle) if isinstance(net, int)}
    names = {net: name for name, net in _named(netlist)}
    missing = sorted(names.get(net, str(net)) for net in wanted - counts.keys())
    if missing:
        hint = "name the netlist's scope with --instance" if len(missing) == len(wanted) else "write all nets"
        raise InputError(f"{saif.path}: lacks {len(missing)} of {len(wanted)} nets, such as {missing[0]}; {hint}")
    clock = sum(price * counts.get(net, 0) for net, price in tariff.clock_toggle.items())
    return Energy(tariff.switching(counts), clock, tariff.leakage_w)


def _named(netlist: Netlist) -> list[tuple[str, Net]]:
    """Every name that a net has, as Verilog writes a bit."""
    return [
        (name if len(nets) == 1 else f"{name}[{place}]", net)
        for name, nets in netlist.names.items()
        for place, net in enumerate(nets)
    ]


def report(found: Energy, seconds: float) -> Mapping[str, str]:
    """The figures in words; power over the time that the file is of."""
    return {
        "switching": f"{found.switching * 1e9:.3f} nJ, {found.switching / seconds * 1e3:.4g} mW",
        "clock pins": f"{found.clock * 1e9:.3f} nJ, {found.clock / seconds * 1e3:.4g} mW",
        "leakage": f"{found.leakage_w * 1e6:.4g} uW",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.toggles", description="Power of a mapped netlist.")
    parser.add_argument("liberty", type=Path, help="a liberty file, plain or gzip'ed")
    parser.add_argument("netlist", type=Path, help="Verilog of the library's cells")
    parser.add_argument("saif", type=Path, help="a SAIF file of a simulation of that netlist")
    parser.add_argument("--instance", default="", help="the netlist's scope in the SAIF file, joined by points")
    given = parser.parse_args(arguments)
    try:
        library, saif = Library.load(given.liberty), Saif.read(given.saif)
        found = energy_of(verilog_netlist(given.netlist, library), saif, given.instance)
    except (InputError, NetlistError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    for name, line in report(found, saif.seconds).items():
        print(f"{name}: {line}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
