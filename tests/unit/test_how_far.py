from __future__ import annotations

import pytest

from steering_core.report.how_far import best_how_far, how_far


@pytest.mark.parametrize(
    ("stands", "met", "told", "in_short"),
    [
        ([True], [True], "there", "there"),
        ([True], [False], "nearly there", "nearly there"),
        ([False], [False], "not there yet", "not there yet"),
        ([False], [True], "not there yet", "not there yet"),  # the loss of other layers says so; what is shown does not
        ([True, True], [False, False], "nearly there", "nearly there"),
        (
            [True, True, False, True],
            [True, False, False, True],
            "there in 2, nearly there in 1, not there yet in 1 of 4 pictures",
            "there in 2 of 4",
        ),
    ],
)
def test_how_far_a_relation_has_come_is_said_in_words(stands, met, told, in_short):
    assert how_far(stands, met) == told
    assert best_how_far(stands, met) == in_short
