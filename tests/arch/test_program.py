"""Program files: they come back whole, and refuse to be read otherwise."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.errors import InputError
from arch.image import LARGEST_EXTERNAL, Image, quantised
from arch.isa import ENGINES, Engine, Halt, Load, Transfer
from arch.layout import Kind, Region, Store
from arch.program import Entry, Program, ProgramError, Step

TINY = Chip.load("tiny")


def program() -> Program:
    image = Image.blank(TINY, seed=5)
    image.weight[3, 2, 1] = -77
    steps = {engine: [Step(layer="l", phase="p")] for engine in ENGINES}
    steps[Engine.ARRAY] = steps[Engine.ARRAY] * 2
    region = Region(name="x", store=Store.FEATURE, kind=Kind.VECTOR, base=4, shape=(5,), fraction=3)
    return Program(
        chip=TINY,
        streams={Engine.ARRAY: [Load(row=2, count=3), Halt()], Engine.VECTOR: [Halt()], Engine.DMA: [Halt()]},
        steps=steps,
        entries={"main": Entry(start={"array": 0, "vector": 0, "dma": 0})},
        image=image,
        inputs={"x": region},
    )


def test_it_comes_back_whole(tmp_path):
    path = tmp_path / "a.tcl"
    made = program()
    made.save(path)
    read = Program.load(path, TINY)
    assert (read.chip, read.streams, read.steps) == (made.chip, made.streams, made.steps)
    assert (read.entries, read.inputs) == (made.entries, made.inputs)
    assert read.image.differences(made.image) == 0
    again = tmp_path / "b.tcl"
    read.save(again)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.tcl", "b.tcl"]


def test_another_chip_is_refused(tmp_path):
    path = tmp_path / "a.tcl"
    program().save(path)
    with pytest.raises(ProgramError, match=r"built for chip tiny .* not for paper"):
        Program.load(path, Chip.load("paper"))
    Program.load(path, TINY.replace(name="other", clock_ns=1.0))


@settings(max_examples=40)
@given(data=st.data())
def test_any_altered_or_missing_byte_is_seen(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "a.tcl"
    program().save(path)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    path.write_bytes(bytes(whole))
    with pytest.raises(ProgramError) as error:
        Program.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def _resigned(path, change):
    """The file with its body changed and signed again, as a crafted one would be."""
    magic, body = path.read_bytes().split(b"\n", 1)
    members = {}
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(b" ".join([*magic.split()[:-1], digest]) + b"\n" + buffer.getvalue())


def _manifest(**changes):
    def change(members):
        manifest = json.loads(members["manifest.json"])
        manifest["inputs"]["x"] |= changes
        members["manifest.json"] = json.dumps(manifest).encode()

    return change


def _lying_header(members):
    members["weight.npy"] = members["weight.npy"][:-2]


@pytest.mark.parametrize(
    "change",
    [
        _manifest(pitch=2**61 - 10**7),
        _manifest(base=10**30),
        _manifest(shape=[1 << 24]),
        _manifest(shape=[0]),
        _lying_header,
        lambda members: members.pop("random.npy"),
    ],
)
def test_crafted_files_are_refused(tmp_path, change):
    path = tmp_path / "a.tcl"
    program().save(path)
    _resigned(path, change)
    with pytest.raises(ProgramError) as error:
        Program.load(path)
    assert "\n" not in str(error.value)


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(ProgramError, match="No such file"):
        Program.load(tmp_path / "none.tcl")
    (tmp_path / "x.tcl").write_text("hello\n")
    with pytest.raises(ProgramError, match="must begin with"):
        Program.load(tmp_path / "x.tcl")


def test_illegal_programs_are_refused():
    bad = program()
    bad.streams[Engine.ARRAY][0] = Load(row=169, count=3)
    with pytest.raises(ProgramError, match="entry main: array 0: row must end within"):
        bad.check()
    far = program()
    far.inputs["x"] = far.inputs["x"].model_copy(update={"base": 10_000})
    with pytest.raises(ProgramError, match="beyond the end"):
        far.check()
    for start in (-1, 2, 10**9):
        adrift = program()
        adrift.entries["main"] = Entry(start={"array": start, "vector": 0, "dma": 0})
        with pytest.raises(ProgramError, match="must start at an instruction"):
            adrift.check()
    still = program()
    still.image.random[1, 1] = 0
    with pytest.raises(ProgramError, match="random states"):
        still.check()
    twice = program()
    twice.outputs["y"] = twice.inputs["x"].model_copy(update={"base": 6})
    with pytest.raises(ProgramError, match="used twice"):
        twice.check()
    long = program()
    long.streams[Engine.ARRAY] = [*[Load(count=1)] * 40, Halt()]
    long.steps[Engine.ARRAY] = [Step(layer="l", phase="p")] * 41
    with pytest.raises(ProgramError, match="41 instructions must fit"):
        long.check()


def test_quantising_rounds_half_up_saturates_and_refuses_nan():
    found = quantised(np.array([0.5, -0.5, 1.5, 9.0, -9.0]), 0, Chip.load("paper").largest)
    assert found.tolist() == [1, 0, 2, 9, -9]
    assert quantised(np.array([9.0, -9.0]), 12, TINY.largest).tolist() == [32767, -32768]
    with pytest.raises(ValueError, match="w must be finite"):
        quantised(np.array([np.nan]), 3, TINY.largest, "w")


def _with_external(words: int) -> Program:
    made = program()
    made.image = Image.blank(TINY, seed=5, external_words=words)
    made.image.external[:] = np.arange(words * TINY.lanes).reshape(words, TINY.lanes) - 40
    return made


def test_the_external_memory_comes_back_as_long_as_it_was(tmp_path):
    for words in (0, 1, 77):
        made = _with_external(words)
        made.outputs["y"] = Region(name="y", store=Store.EXTERNAL, kind=Kind.VECTOR, base=0, shape=(3,), fraction=0)
        if words == 0:
            with pytest.raises(ProgramError, match="region y lies beyond the end of the external memory"):
                made.check()
            made.outputs.clear()
        made.save(tmp_path / "a.tcl")
        read = Program.load(tmp_path / "a.tcl")
        assert read.external_words == words
        assert np.array_equal(read.image.external, made.image.external)


def test_no_more_external_words_are_made_than_there_are():
    with pytest.raises(InputError, match="external words must be 0 to 8192 on chip tiny, not 8193"):
        Image.blank(TINY, external_words=8193)
    huge = TINY.replace(external_memory={"bytes_per_cycle": 4, "latency_cycles": 1, "bytes": 1 << 36})
    with pytest.raises(InputError, match=f"must be 0 to {LARGEST_EXTERNAL // 6} on chip"):
        Image.blank(huge, external_words=1 << 33)
    with pytest.raises(InputError, match="must be 0 to 0 on chip wide"):
        Image.blank(Chip.load("wide"), external_words=1)


def test_a_transfer_beyond_the_image_is_refused():
    made = _with_external(8)
    made.streams[Engine.DMA] = [Transfer(external=6, count=2), Halt()]
    made.steps[Engine.DMA] = made.steps[Engine.ARRAY]
    made.check()
    made.streams[Engine.DMA][0] = Transfer(external=6, count=3)
    with pytest.raises(ProgramError, match="dma 0: it must end within the 8 external words of the program's image"):
        made.check()


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 4), np.int16), np.zeros((3, 3), np.int32), np.zeros(9, np.int16), np.zeros((9000, 3), np.int16)],
    ids=["lanes", "type", "shape", "size"],
)
def test_crafted_external_memories_are_refused(tmp_path, array):
    path = tmp_path / "a.tcl"
    program().save(path)
    data = io.BytesIO()
    np.save(data, array)
    _resigned(path, lambda members: members.update({"external.npy": data.getvalue()}))
    with pytest.raises(ProgramError, match="external"):
        Program.load(path)
