"""Picks are spread over all that there is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from aecodec.sampling import evenly_spaced


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (3, 4, [0, 1, 2]),
        (4, 4, [0, 1, 2, 3]),
        (7, 4, [0, 2, 4, 6]),  # fewer than twice as many, where steps of whole numbers took the first four
        (24, 4, [0, 8, 15, 23]),
        (5, 1, [2]),
        (0, 3, []),
    ],
)
def test_picks_reach_from_the_first_to_the_last(count: int, most: int, expected: list[int]) -> None:
    assert evenly_spaced(range(count), most) == expected


def test_gaps_differ_by_one_at_most() -> None:
    for count in range(2, 40):
        for most in range(2, count):
            picks = evenly_spaced(range(count), most)
            gaps = {after - before for before, after in pairwise(picks)}
            assert max(gaps) - min(gaps) <= 1
