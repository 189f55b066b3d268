"""An object's own attributes stand aside, and come back."""

from __future__ import annotations

import pytest

from steering_core.attributes import replaced


class Thing:
    def told(self) -> str:
        return "of its class"


@pytest.mark.parametrize("own", [None, lambda: "its own"])
def test_what_the_object_had_comes_back_after_an_error(own):
    thing = Thing()
    if own:
        thing.told = own
    before = dict(vars(thing))
    with pytest.raises(ArithmeticError), replaced(thing, told=lambda: "another"):
        assert thing.told() == "another"
        raise ArithmeticError("deliberate")
    assert vars(thing) == before
