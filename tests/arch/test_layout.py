"""Where the elements of tensors lie: every kind, kernels cut in every way, patches."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arch.chip import Chip
from arch.image import Image
from arch.layout import KernelRows, Kind, Patches, Region, Store, map_pitch, rows_of

CHIP = Chip.load("wide")
_LANES = st.integers(1, CHIP.lanes)
_FEW = st.integers(1, 6)
_SIDE = st.integers(1, CHIP.kernel)
_SHAPES = {
    Kind.MAP: (_FEW, _FEW, st.integers(1, 9)),
    Kind.VECTOR: (st.integers(1, 50),),
    Kind.FILTERS: (_FEW, st.integers(1, 9), _SIDE, _SIDE),
    Kind.CHANNELS: (st.integers(1, 9), _FEW, _SIDE, _SIDE),
    Kind.LANES: (st.integers(1, 9), st.just(1), _SIDE, _SIDE),
    Kind.DENSE_MAP: (_FEW, _LANES, _FEW, _FEW),
    Kind.DENSE_VECTOR: (_FEW, st.integers(1, 150)),
    Kind.BIAS: (st.integers(1, 100),),
    Kind.ROWS: (_FEW, st.just(CHIP.taps), st.just(CHIP.lanes)),
}


def region(kind: Kind, shape: tuple[int, ...], **more) -> Region:
    maps = kind in (Kind.MAP, Kind.VECTOR, Kind.PATCHES)
    store = Store.FEATURE if maps else Store.WEIGHT
    return Region(name="r", store=store, kind=kind, base=3, shape=shape, fraction=0, **more)


@given(st.sampled_from(list(_SHAPES)), st.data())
def test_elements_have_places_of_their_own(kind, data):
    shape = tuple(data.draw(extent) for extent in _SHAPES[kind])
    more = {}
    if kind == Kind.MAP:
        pitch = map_pitch(shape[1], CHIP)
        more = {"pitch": pitch, "plane": pitch * shape[0]}
    elif kind in (Kind.FILTERS, Kind.CHANNELS, Kind.LANES):
        cut = KernelRows(chunk=data.draw(st.integers(1, shape[2])), rotated=data.draw(st.booleans()))
        if cut.chunk == 1:
            cut = cut.model_copy(update={"columns": data.draw(st.integers(1, shape[3]))})
        more = {"kernels": cut}
        assume(3 + rows_of(kind, shape, CHIP, cut) <= CHIP.weight_rows)
    one = region(kind, shape, **more)
    places = one.indices(CHIP)
    assert places.shape == shape
    assert np.unique(places).size == places.size
    if one.store == Store.WEIGHT:
        rows = rows_of(kind, shape, CHIP, one.kernels)
        assert 3 <= places.min() // CHIP.multipliers <= places.max() // CHIP.multipliers < 3 + rows
    image = Image.blank(CHIP)
    values = np.arange(places.size).reshape(shape) % 2048
    image.write(one, values, CHIP)
    assert np.array_equal(image.read(one, CHIP), values)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["f", "c"]))
def test_merged_groups_lie_as_the_dense_kernels_that_they_are(parts, merged, inputs, outputs, kind):
    kind = Kind.FILTERS if kind == "f" else Kind.CHANNELS
    assume(parts == 1 or inputs * merged % CHIP.lanes == 0)
    shape = (parts * merged * outputs, inputs, 2, 2)
    values = np.arange(1, np.prod(shape) + 1).reshape(shape) % 2000
    dense = np.zeros((shape[0], inputs * merged, 2, 2), int)
    for o in range(shape[0]):
        first = o // outputs % merged * inputs
        dense[o, first : first + inputs] = values[o]
    grouped, plain = Image.blank(CHIP), Image.blank(CHIP)
    cut = KernelRows(groups=parts, merged=merged)
    grouped.write(region(kind, shape, kernels=cut), values, CHIP)
    plain.write(region(kind, dense.shape, kernels=KernelRows(groups=parts)), dense, CHIP)
    assert np.array_equal(grouped.weight, plain.weight)
    assert rows_of(kind, shape, CHIP, cut) == rows_of(kind, dense.shape, CHIP, KernelRows(groups=parts))


def patches_of(shape, kernel, stride=(1, 1), pads=(0, 0), dilation=(1, 1)) -> Patches:
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    extents = tuple((shape[i] + 2 * pads[i] - reach[i] - 1) // stride[i] + 1 for i in (0, 1))
    return Patches(kernel=kernel, stride=stride, pads=pads, dilation=dilation, extents=extents)


@given(st.data())
def test_patches_hold_every_window(data):
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = data.draw(pair), data.draw(pair), data.draw(pair)
    pads = tuple(data.draw(st.integers(0, k - 1)) for k in kernel)
    size = tuple(data.draw(st.integers((k - 1) * d + 1, 9)) for k, d in zip(kernel, dilation, strict=True))
    shape = (*size, data.draw(st.integers(1, 2)))
    patches = patches_of(shape, kernel, stride, pads, dilation)
    assume(patches.covers(shape))
    height, width = patches.extents
    count = CHIP.words(patches.channels(shape[2]))
    one = region(Kind.PATCHES, shape, pitch=width, plane=width * height, patches=patches)
    image = Image.blank(CHIP)
    image.feature[3 : 3 + count * width * height] = 99
    values = np.random.default_rng(0).integers(1, 999, shape)
    image.write(one, values, CHIP)
    assert np.array_equal(image.read(one, CHIP), values)
    padded = np.pad(values, ((9, 9), (9, 9), (0, 0)))
    words = image.feature[3 : 3 + count * width * height].reshape(count, height, width, -1)
    for y in range(height):
        for x in range(width):
            top, left = 9 + y * stride[0] - pads[0], 9 + x * stride[1] - pads[1]
            rows, columns = (slice(a, a + k * d, d) for a, k, d in zip((top, left), kernel, dilation, strict=True))
            window = padded[rows, columns].transpose(2, 0, 1).reshape(-1)
            assert np.array_equal(words[:, y, x].reshape(-1)[: len(window)], window)
    assert np.array_equal(one.spread(values), image.feature.reshape(-1)[one.targets(CHIP)])


def test_patches_that_leave_elements_out_are_refused():
    patches = patches_of((5, 5, 1), (1, 1), (2, 2))
    assert not patches.covers((5, 5, 1))
    with pytest.raises(ValueError, match="in none of its patches"):
        region(Kind.PATCHES, (5, 5, 1), pitch=3, patches=patches).indices(CHIP)
    with pytest.raises(ValueError, match="cannot have shape"):
        region(Kind.PATCHES, (5, 5, 1), pitch=3).indices(CHIP)


def test_patches_beyond_the_memory_are_refused_before_they_are_made():
    most = Patches(kernel=(1024, 1024), stride=(1, 1), pads=(0, 0), dilation=(1, 1), extents=(1024, 1024))
    with pytest.raises(ValueError, match="beyond the end"):
        region(Kind.PATCHES, (1024, 1024, 1), pitch=1024, plane=1 << 20, patches=most).indices(CHIP)
