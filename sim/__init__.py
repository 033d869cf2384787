"""The simulators: the fast executor and the stepping machine, which give the same answer."""

from sim.fast import FastMachine
from sim.result import Result
from sim.stepping import SteppingMachine

__all__ = ["FastMachine", "Result", "SteppingMachine"]
