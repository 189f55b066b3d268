from __future__ import annotations

import pytest

from steering_core.standing import standing


@pytest.mark.parametrize(
    ("stands", "met", "told"),
    [
        ([True], [True], "there"),
        ([True], [False], "nearly there"),
        ([False], [False], "not there yet"),
        ([False], [True], "not there yet"),  # the loss of other layers says so; what is shown does not
        ([True, True], [False, False], "nearly there"),
        (
            [True, True, False, True],
            [True, False, False, True],
            "there in 2, nearly there in 1, not there yet in 1 of 4 pictures",
        ),
    ],
)
def test_how_far_a_relation_has_come_is_said_in_words(stands, met, told):
    assert standing(stands, met) == told
