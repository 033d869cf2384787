"""Groups of a convolution whose channels are no multiple of the lanes: neighbours merged until they are."""

from __future__ import annotations


def merged_groups(groups: int, inputs: int, outputs: int, lanes: int) -> int:
    """How many neighbouring groups, of `inputs` to `outputs` channels each, to execute as one with zeros between.

    The fewest whose channels are multiples of `lanes` on both sides; all of them if there is no other way.
    """
    fitting = (
        count for count in range(1, groups) if not (groups % count or count * inputs % lanes or count * outputs % lanes)
    )
    return next(fitting, groups)
