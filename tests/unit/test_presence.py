"""What is told of how present objects are."""

from __future__ import annotations

import pytest
import torch

from steering_core.presence import Presence


def described(*places: tuple[int, int], side: int = 8) -> list[str]:
    """Of objects whose attention is in one cell each, at (row, column)."""
    maps = torch.zeros(1, len(places), side, side)
    for number, (row, column) in enumerate(places):
        maps[0, number, row, column] = 1
    names = ["dog", "cat", "bird"][: len(places)]
    return Presence.of(maps, torch.full((1, len(places)), 0.1)).describe(names)


def test_a_lone_object_shares_with_none():
    assert described((1, 1)) == ["strength 10.00%, spread 0.00"]


@pytest.mark.parametrize("places", [[(1, 1), (6, 6)], [(1, 1), (6, 6), (1, 6)]])
def test_objects_that_share_nothing_do_so_with_others_than_themselves(places):
    told = [line.partition("0% shared with ")[2] for line in described(*places)]
    assert told == ["cat", "dog", "dog"][: len(places)]


def test_the_other_that_an_object_shares_most_with_is_named():
    told = described((1, 1), (6, 6), (1, 1))
    assert [line.split(", ")[-1] for line in told] == [
        "100% shared with bird",
        "0% shared with dog",
        "100% shared with dog",
    ]
