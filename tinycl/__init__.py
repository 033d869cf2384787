"""tinycl: the names a notebook needs."""

from arch import Chip, Program
from compiler import Calibration, Network, Options, compile_network
from sim import FastMachine, SteppingMachine

__all__ = ["Calibration", "Chip", "FastMachine", "Network", "Options", "Program", "SteppingMachine", "compile_network"]
