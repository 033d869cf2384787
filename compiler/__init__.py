"""From a network to a program: shapes, differentiation, formats, memory, instructions."""

from compiler.calibration import Calibration
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.octets import Bits
from compiler.pipeline import Build, Options, compile_network
from compiler.report import Report

__all__ = ["Bits", "Build", "Calibration", "Network", "NetworkError", "Options", "Report", "compile_network"]
