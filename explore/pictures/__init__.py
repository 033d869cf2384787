"""Pictures of what chips and programs do, as matplotlib figures; a notebook shows what a function returns."""

from explore.pictures.animation import Animated, window_animation
from explore.pictures.cycles import cycles_by_limit, cycles_by_phase
from explore.pictures.fronts import pareto_front
from explore.pictures.lit import array_lit
from explore.pictures.occupancy import memory_occupancy
from explore.pictures.roofline import roofline
from explore.pictures.style import Picture
from explore.pictures.timeline import timeline
from explore.pictures.trace import trace_events, write_trace
from explore.pictures.waves import waves
from explore.pictures.windows import window_paths

__all__ = [
    "Animated",
    "Picture",
    "array_lit",
    "cycles_by_limit",
    "cycles_by_phase",
    "memory_occupancy",
    "pareto_front",
    "roofline",
    "timeline",
    "trace_events",
    "waves",
    "window_animation",
    "window_paths",
    "write_trace",
]
