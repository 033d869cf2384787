"""Enables of registers: in which cycles a register bit may take a value, as a net.

Yosys finds them in the muxes before each flip-flop (`opt_dff`); where such muxes are shared, which it does not look
through, they are found here. A reset opens an enable too.
"""

from __future__ import annotations

from collections.abc import Mapping

from synthesis.netlist import Net

FREE, ENABLED, SHUT = "$_DFF_P_", "$_DFFE_PP_", "$_DFFE_PN_"
"""Yosys's flip-flops without an enable, with one, and with one that is 1 where the value is kept."""
FIND = (
    "opt -fast -full",
    "memory_map",
    "opt -undriven -fine",
    "pmuxtree",
    "bmuxmap",
    "dffunmap -srst-only",
    "setattr -unset init w:*",
    "simplemap",
    "opt_merge",
    "opt_dff -nosdff",
    "opt_merge",
    "opt_clean",
)
"""Yosys's commands after the coarse part of `synth`, to single bits with enables, which resets are part of."""
LEGAL = f"dfflegalize -cell {FREE} x -cell {ENABLED} x"
"""The command that leaves those two alone."""


def add_enables(module: dict) -> None:
    """Give an enable to each register of a module of Yosys's JSON that muxes alone, shared or not, let keep its value.

    Its next value stays as it is: what the enable adds are gates that say in which cases the muxes choose the old one.
    """
    muxes = {cell["connections"]["Y"][0]: cell for cell in module["cells"].values() if cell["type"] == "$_MUX_"}
    first = fresh(module)
    added: dict[str, dict] = {}
    for cell in module["cells"].values():
        if cell["type"] == FREE:
            state = cell["connections"]["Q"][0]
            kept = _Kept(muxes, state, first + len(added))
            held = kept.of(cell["connections"]["D"][0])
            if held != "0":
                added |= kept.cells
                cell["type"] = SHUT
                cell["connections"]["E"] = [held]
                cell["port_directions"]["E"] = "input"
    module["cells"] |= added


class _Kept:
    """The case in which muxes choose register bit `state`, as a net of muxes made anew, numbered from `fresh` on."""

    def __init__(self, muxes: Mapping[Net, dict], state: Net, fresh: int):
        self._muxes, self._fresh = muxes, fresh
        self._found: dict[Net, Net] = {state: "1"}
        self.cells: dict[str, dict] = {}

    def of(self, net: Net) -> Net:
        """1 where `net` is the register, by the muxes before it alone."""
        if net not in self._found:
            self._found[net] = self._made(net)
        return self._found[net]

    def _made(self, net: Net) -> Net:
        mux = self._muxes.get(net)
        if mux is None:
            return "0"
        first, second = (self.of(mux["connections"][pin][0]) for pin in "AB")
        if first == second:
            return first
        output = self._fresh + len(self.cells)
        pins = {"A": [first], "B": [second], "S": mux["connections"]["S"], "Y": [output]}
        self.cells[f"$keeps${output}"] = {**mux, "connections": pins}
        return output


def fresh(module: dict) -> int:
    """The first number that no net of a module of Yosys's JSON has."""
    nets = [*module["netnames"].values(), *module["ports"].values()]
    cells = [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    every = [*(net["bits"] for net in nets), *cells]
    return 1 + max((bit for bits in every for bit in bits if isinstance(bit, int)), default=0)
