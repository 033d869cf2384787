"""The chip driven step by step: it learns from one sample after another, and one looks at it between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from arch.errors import InputError
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES
from arch.layout import Region
from compiler.graph import INFER, TRAIN, Role
from explore.frames import counter_frame
from sim.fast import FastMachine
from tinycl.compiled import Compiled, chosen
from tinycl.micro_batches import samples_taken
from tinycl.simulation import inputs_for

if TYPE_CHECKING:
    from pandas import DataFrame


class Device:
    """A compiled network on the fast simulator, which keeps its memories from call to call.

    `cycles` counts all cycles so far. Raises `InputError` if there is more than one training entry (micro-batches).

    >>> import numpy as np
    >>> import tinycl
    >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
    >>> device = tinycl.Device(tinycl.compile(small, train=True))
    >>> logits = device.step(np.ones((1, 6, 6)), 2)
    >>> logits.shape, device.cycles == device.compiled.report.cycles
    ((3,), True)
    """

    def __init__(self, compiled: Compiled):
        unknown = set(compiled.reports) - {INFER, TRAIN}
        if unknown or samples_taken(compiled.program, TRAIN) > 1:
            raise InputError("a device must be compiled with micro_batch=1: it learns from each sample at once")
        self.compiled = compiled
        self.cycles = 0
        self._machine = FastMachine(compiled.program)
        self._events = np.zeros((len(ENGINES), len(Event)), np.int64)
        self._before: Image | None = None

    def step(self, x: np.ndarray, y: np.ndarray | int) -> np.ndarray:
        """Train on one sample, or on several one after the other.

        `x` is float of the network's input shape, or [n, *that]; `y` its class, or [n] classes; where the loss is a
        mean squared error, targets. Returns the logits before each update, float [outputs] or [n, outputs].
        """
        self._entry(TRAIN)
        self._before = self._machine.image.copy()
        return self._run(TRAIN, np.asarray(x, np.float64), np.asarray(y))

    def infer(self, x: np.ndarray) -> np.ndarray:
        """The logits, float [outputs], of a sample `x` (float of the input's shape), or [n, outputs] of [n, *shape].

        >>> import numpy as np
        >>> import tinycl
        >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
        >>> device = tinycl.Device(tinycl.compile(small, train=True))
        >>> device.infer(np.ones((5, 1, 6, 6))).shape
        (5, 3)
        """
        self._entry(INFER)
        return self._run(INFER, np.asarray(x, np.float64), None)

    def weights(self, name: str) -> np.ndarray:
        """A parameter's values as they stand on the chip, float of its own shape; `parameters` lists the names.

        >>> import numpy as np
        >>> import tinycl
        >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
        >>> device = tinycl.Device(tinycl.compile(small, train=True))
        >>> before = device.weights("dense1.weight")
        >>> _ = device.step(np.ones((1, 6, 6)), 2)
        >>> bool((device.weights("dense1.weight") == before).all())
        False
        """
        return self._parameter(self._machine.image, name)

    @property
    def parameters(self) -> list[str]:
        """The names of all weights and biases.

        >>> import numpy as np
        >>> import tinycl
        >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
        >>> device = tinycl.Device(tinycl.compile(small, train=True))
        >>> device.parameters
        ['conv1.weight', 'dense1.weight']
        """
        return list(self.compiled.program.parameters)

    def gradients(self, name: str) -> np.ndarray:
        """What the last step did to a parameter, as a gradient: (before - after) / learning rate, float of its shape.

        The chip rounds a gradient once, when it adds it to the weight; this is what came of it, momentum and weight
        decay included. After `step` with n samples it is the sum of n gradients. Raises `InputError` before any step.

        >>> import numpy as np
        >>> import tinycl
        >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
        >>> device = tinycl.Device(tinycl.compile(small, train=True))
        >>> _ = device.step(np.ones((1, 6, 6)), 2)
        >>> device.gradients("conv1.weight").shape
        (4, 1, 3, 3)
        """
        if self._before is None:
            raise InputError("gradients are there after a step")
        change = self._parameter(self._before, name) - self.weights(name)
        return change / self.compiled.build.options.learning_rate

    def counters(self) -> DataFrame:
        """All events so far: a row for each event, a column for each engine.

        >>> import numpy as np
        >>> import tinycl
        >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
        >>> device = tinycl.Device(tinycl.compile(small, train=True))
        >>> _ = device.step(np.ones((1, 6, 6)), 2)
        >>> bool(device.counters().loc["busy"].max() < device.cycles)
        True
        """
        return counter_frame(self._events)

    def _entry(self, entry: str) -> None:
        chosen(self.compiled.reports, entry, "entry")

    def _parameter(self, image: Image, name: str) -> np.ndarray:
        region: Region = chosen(self.compiled.program.parameters, name, "parameter")
        graph = self.compiled.build.graph
        assert graph and graph.tensors[name].role in (Role.WEIGHT, Role.BIAS)
        shape = self.compiled.build.network.shapes.get(name, graph.tensors[name].shape)  # a layout may have changed it
        values = image.read(region, self.compiled.chip).reshape(shape)
        return np.ldexp(values.astype(np.float64), -region.fraction)

    def _run(self, entry: str, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
        program = self.compiled.program
        shape = program.inputs["input"].shape
        single = x.ndim == len(shape)
        samples, labels = (x[None], None if y is None else y[None]) if single else (x, y)
        inputs = inputs_for(program, entry, (samples, labels))
        at_once = 1 if self.compiled.reports[entry].estimated else len(samples)  # cycles differ where zeros are skipped
        words = []
        for first in range(0, len(samples), at_once):
            part = {name: values[first : first + at_once] for name, values in inputs.items()}
            result = self._machine.run(entry, part, steps=at_once, collect=("logits",))
            self.cycles += result.cycles * at_once
            self._events += result.counters
            words.append(result.outputs["logits"].reshape(at_once, -1))
        logits = np.ldexp(np.concatenate(words).astype(np.float64), -program.outputs["logits"].fraction)
        return logits[0] if single else logits
