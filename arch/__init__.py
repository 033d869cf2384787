"""The machine, said once: configuration, instructions, number semantics, timing, events and program files.

This room imports none of the others; the compiler, the simulators and the RTL all read it.
"""

from arch.chip import Chip, ChipError
from arch.program import Program, ProgramError

__all__ = ["Chip", "ChipError", "Program", "ProgramError"]
