"""Plain values: which of them differ."""

from __future__ import annotations

import pytest

from steering_core.files.claims import differences

LONG = "blurry, " * 40


@pytest.mark.parametrize(
    ("there", "wanted", "told"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1.0}, ""),
        ({"sampling": {"dtype": "x", "steps": 1}}, {"sampling": {"dtype": "x", "steps": 2}},
         "sampling.steps: 1 there, 2 here"),
        ({"a": 1, "size": None}, {"b": 2, "size": [8, 8]},
         "b: nothing there, 2 here; size: None there, [8, 8] here; a: 1 there, nothing here"),
        ({"seeds": [0, 1]}, {"seeds": [0, 2]}, "seeds: [0, 1] there, [0, 2] here"),
        ({"seeds": list(range(9))}, {"seeds": [*range(8), 9]}, "seeds[8]: 8 there, 9 here"),
        ({"seeds": list(range(9))}, {"seeds": list(range(8))}, "seeds: 9 entries there, 8 here"),
        ([["a", {"x": 1}]], [["a", {"x": 2}]], "[0][1].x: 1 there, 2 here"),
        ([["a", []]], [], "its content: 1 entries there, 0 here"),
        ([], {"a": 1}, "its content: [] there, {'a': 1} here"),
        ({"text": LONG + "red" + LONG}, {"text": LONG + "green" + LONG}, "text: …'red"),
        ({"text": LONG + LONG}, {"text": LONG + LONG + LONG}, "text: …'' there, …'blurry"),
        ({str(key): 0 for key in range(9)}, {str(key): 1 for key in range(9)}, "5: 0 there, 1 here; and 3 more"),
    ],
)  # fmt: skip
def test_each_setting_that_differs_is_named_with_both_values(there, wanted, told):
    found = differences(there, wanted)
    assert told in found and bool(told) == bool(found)
