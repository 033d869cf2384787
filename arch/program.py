"""A program: what crosses from the compiler to everything that runs it, and its file.

The file is one line `tinycl program 2 <sha256 of the rest>` followed by a zip archive of a JSON manifest and arrays.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from arch.chip import Chip
from arch.errors import InputError
from arch.files import read_array, write_whole
from arch.image import MEMORIES, ON_CHIP, Image, check_external
from arch.isa import ENGINES, INSTRUCTION_BITS, Engine, Halt, Instruction, Transfer, decode, encode
from arch.layout import Region
from arch.ordering import stream_problems
from arch.transfer import external_span

MAGIC = "tinycl program 2"
LARGEST_FILE = 1 << 28
"""Bytes beyond which a program file is refused unread."""


class ProgramError(InputError):
    """A program that cannot be run, saved or read."""


class Step(BaseModel):
    """What one instruction is for: the key of every per-layer report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    phase: str  # forward, loss, input_gradient, weight_gradient, bias_gradient
    macs: int = 0  # multiply-accumulates of the layer's definition, padding included


class Entry(BaseModel):
    """A way to run the program: for each engine, the first instruction in its stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: dict[str, int]


@dataclass
class Program:
    """Streams, entries, named regions and the first image of the memories, for one chip.

    `streams` maps each engine to all its instructions; an entry's stream runs from its start to the next HALT. `steps`
    has a label for each instruction of `streams`. `inputs`, `outputs`, `parameters` and `tensors` name regions.

    >>> import tempfile
    >>> import tinycl
    >>> program = tinycl.compile("digits").program
    >>> streams = program.entry_streams("infer")
    >>> streams[Engine.ARRAY] == program.stream("infer", Engine.ARRAY), program.first("infer", Engine.ARRAY)
    (True, 0)
    >>> program.check_streams()
    >>> program.check()
    >>> [region.name for region in program.regions()][:2], program.external_words
    (['input', 'dense1'], 0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     program.save(Path(folder, "net.tcl"))
    ...     Program.load(Path(folder, "net.tcl"), program.chip).entries == program.entries
    True
    """

    chip: Chip
    streams: dict[Engine, list[Instruction]]
    steps: dict[Engine, list[Step]]
    entries: dict[str, Entry]
    image: Image
    inputs: dict[str, Region] = field(default_factory=dict)
    outputs: dict[str, Region] = field(default_factory=dict)
    parameters: dict[str, Region] = field(default_factory=dict)
    tensors: dict[str, Region] = field(default_factory=dict)

    def stream(self, entry: str, engine: Engine) -> list[Instruction]:
        """The instructions that `engine` runs from `entry`, HALT included. Raises `ProgramError` if there is none."""
        first = self.first(entry, engine)
        stream = self.streams[engine]
        last = next((i for i in range(first, len(stream)) if isinstance(stream[i], Halt)), len(stream) - 1)
        return stream[first : last + 1]

    def first(self, entry: str, engine: Engine) -> int:
        """Where `engine` starts for `entry`."""
        if entry not in self.entries:
            raise ProgramError(f"entry must be one of {', '.join(self.entries)}, not {entry}")
        return self.entries[entry].start[engine.name.lower()]

    def entry_streams(self, entry: str) -> dict[Engine, list[Instruction]]:
        """All engines' instructions for `entry`."""
        return {engine: self.stream(entry, engine) for engine in ENGINES}

    def check(self) -> None:
        """Raise `ProgramError` naming the first thing that makes the program illegal on its chip."""
        self.check_streams()
        self._check_transfers()
        self._check_regions()
        self._check_image()

    def check_streams(self) -> None:
        """Raise `ProgramError` naming the first thing that is wrong with the instructions, as far as memories' contents
        and regions have no part in it."""
        for engine in ENGINES:
            if len(self.streams[engine]) != len(self.steps[engine]):
                raise ProgramError(f"{engine.name.lower()}: every instruction must have a step label")
            limit = self.chip.program_memory.instructions
            if len(self.streams[engine]) > limit:
                raise ProgramError(
                    f"{engine.name.lower()}: {len(self.streams[engine])} instructions must fit the program memory "
                    f"of {limit}; enlarge program_memory.instructions"
                )
        for name, entry in self.entries.items():
            for engine in ENGINES:
                unit = engine.name.lower()
                if not 0 <= entry.start.get(unit, -1) < len(self.streams[engine]):
                    raise ProgramError(f"entry {name}: must start at an instruction of the {unit} stream")
            for problem in stream_problems(self.entry_streams(name), self.chip):
                raise ProgramError(f"entry {name}: {problem}")

    @property
    def external_words(self) -> int:
        """Words of the external memory that the program declares: those of its image."""
        return len(self.image.external)

    def _check_transfers(self) -> None:
        for index, item in enumerate(self.streams[Engine.DMA]):
            if isinstance(item, Transfer) and external_span(item, self.chip).stop > self.external_words:
                raise ProgramError(
                    f"dma {index}: it must end within the {self.external_words} external words of the program's image"
                )

    def _check_regions(self) -> None:
        named: dict[str, Region] = {}
        for region in self.regions():
            if named.setdefault(region.name, region) != region:
                raise ProgramError(f"region {region.name}: the name is used twice")
            size = self.image.cells(region).size
            try:
                outside = prod(region.shape) > size or any(
                    int(places.max()) >= size for _, places in region.parts(self.chip)
                )
                if outside:
                    raise ProgramError(f"region {region.name} lies beyond the end of the {region.store.value} memory")
                if region.patches:
                    region.indices(self.chip)
            except ValueError as error:
                raise ProgramError(str(error)) from None

    def _check_image(self) -> None:
        for name in ON_CHIP:
            words = getattr(self.image, name)
            if words.size and (words.max() > self.chip.largest or words.min() < -self.chip.largest - 1):
                raise ProgramError(f"its {name} memory holds values beyond {self.chip.word_bits} bits")
        if not self.image.random.all():
            raise ProgramError("its random states must not be 0")

    def regions(self) -> list[Region]:
        """Every named region."""
        groups = (self.inputs, self.outputs, self.parameters, self.tensors)
        return [region for group in groups for region in group.values()]

    def save(self, path: str | Path) -> None:
        """Write the program's file, whole or not at all."""
        body = self._body()
        header = f"{MAGIC} {hashlib.sha256(body).hexdigest()}\n".encode()
        write_whole(Path(path), header + body)

    def _body(self) -> bytes:
        manifest = _Manifest(
            chip=self.chip.model_dump(),
            fingerprint=self.chip.fingerprint,
            streams={
                engine.name.lower(): [f"{encode(item, self.chip):0{INSTRUCTION_BITS // 4}x}" for item in stream]
                for engine, stream in self.streams.items()
            },
            steps={engine.name.lower(): steps for engine, steps in self.steps.items()},
            entries=self.entries,
            inputs=self.inputs,
            outputs=self.outputs,
            parameters=self.parameters,
            tensors=self.tensors,
        )
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, "manifest.json", json.dumps(manifest.model_dump(mode="json"), indent=1).encode())
            for name in MEMORIES:
                array = io.BytesIO()
                np.lib.format.write_array(array, getattr(self.image, name), allow_pickle=False)
                _add(archive, f"{name}.npy", array.getvalue())
        return buffer.getvalue()

    @classmethod
    def load(cls, path: str | Path, chip: Chip | None = None) -> Program:
        """Read a program's file. Raises `ProgramError` if it is truncated, altered, illegal, or not for `chip`."""
        try:
            return cls._read(Path(path), chip)
        except OSError as error:
            raise ProgramError(f"program {path}: {error.strerror}") from None
        except InputError as error:
            raise ProgramError(f"program {path}: {error}") from None
        except (ValueError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise ProgramError(f"program {path}: not a program of this version ({type(error).__name__})") from None

    @classmethod
    def _read(cls, path: Path, chip: Chip | None) -> Program:
        if path.stat().st_size > LARGEST_FILE:
            raise ProgramError(f"must be at most {LARGEST_FILE} bytes, not {path.stat().st_size}")
        header, _, body = path.read_bytes().partition(b"\n")
        if not header.startswith(MAGIC.encode()):
            raise ProgramError(f"must begin with `{MAGIC}`; compile the network again")
        if header.split()[-1].decode(errors="replace") != hashlib.sha256(body).hexdigest():
            raise ProgramError("truncated or altered: its checksum does not match; compile the network again")
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if sum(item.file_size for item in archive.infolist()) > 4 * LARGEST_FILE:
                raise ProgramError("holds more data than a program can")
            manifest = _Manifest.model_validate_json(archive.read("manifest.json"))
            own = Chip.from_fields(manifest.chip)
            if manifest.fingerprint != own.fingerprint:
                raise ProgramError("its fingerprint is not that of its chip; compile the network again")
            if chip is not None and chip.fingerprint != own.fingerprint:
                raise ProgramError(
                    f"built for chip {own.name} ({own.fingerprint}), not for {chip.name} ({chip.fingerprint}); "
                    "compile the network for this chip"
                )
            image = _read_image(archive, own)
        program = cls(
            chip=own,
            streams={
                engine: [decode(int(word, 16), own) for word in manifest.streams[engine.name.lower()]]
                for engine in ENGINES
            },
            steps={engine: manifest.steps[engine.name.lower()] for engine in ENGINES},
            entries=manifest.entries,
            image=image,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            parameters=manifest.parameters,
            tensors=manifest.tensors,
        )
        program.check()
        return program


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    chip: dict
    fingerprint: str
    streams: dict[str, list[str]]
    steps: dict[str, list[Step]]
    entries: dict[str, Entry]
    inputs: dict[str, Region]
    outputs: dict[str, Region]
    parameters: dict[str, Region]
    tensors: dict[str, Region]


_EPOCH = (1980, 1, 1, 0, 0, 0)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    item = zipfile.ZipInfo(name, date_time=_EPOCH)
    item.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(item, data)


def _read_image(archive: zipfile.ZipFile, chip: Chip) -> Image:
    blank = Image.blank(chip)
    blank.external = _read_external(archive, chip)
    for name in MEMORIES[:-1]:
        expected = getattr(blank, name)
        member = f"{name}.npy"
        if archive.getinfo(member).file_size > expected.nbytes + 4096:
            raise ProgramError(f"its {name} memory must be {expected.dtype}{list(expected.shape)}")
        array = read_array(archive.read(member))
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise ProgramError(f"its {name} memory must be {expected.dtype}{list(expected.shape)}")
        setattr(blank, name, array)
    return blank


def _read_external(archive: zipfile.ZipFile, chip: Chip) -> np.ndarray:
    """The words of the external memory, as many as the file has and an image may hold."""
    word = 2 * chip.lanes
    check_external(max(0, archive.getinfo("external.npy").file_size - 4096) // word, chip)
    array = read_array(archive.read("external.npy"))
    if array.ndim != 2 or array.shape[1] != chip.lanes or array.dtype != np.int16:
        raise ProgramError(f"its external memory must be int16[words, {chip.lanes}]")
    check_external(len(array), chip)
    return array
