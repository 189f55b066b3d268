"""The widget of Edit Relations in the real front end."""

from __future__ import annotations

import canvas
import pytest

pytestmark = pytest.mark.usefixtures("no_errors")


def _edits(page, prompt):
    canvas.build(page, prompt, "SpatialSteeringEditRelations")
    page.locator(".spatial-steering .row").first.wait_for()


def test_switched_off_and_changed_relations_are_edits(page):
    _edits(page, "a cat to the left of a dog and a clock above a tree")
    assert canvas.value(page) == {}
    first, second = page.locator(".spatial-steering .row").all()

    first.locator("input").uncheck()
    second.locator("select").select_option(label="next to")
    off = {"subject": "cat", "relation": "left_of", "object": "dog", "wanted": "left_of", "on": False}
    near = {"subject": "clock", "relation": "above", "object": "tree", "wanted": "near", "on": True}
    assert canvas.value(page) == {"relations": [off, near]}

    saved = page.evaluate("() => app.graph.serialize()")
    page.evaluate("graph => app.loadGraphData(graph)", saved)
    page.locator(".spatial-steering .row.off").wait_for()
    first, second = page.locator(".spatial-steering .row").all()
    assert second.locator("select").input_value() == "near"

    first.locator("input").check()
    assert canvas.value(page) == {"relations": [near]}
    canvas.write(page, canvas.CAT_DOG)
    page.wait_for_function("() => document.querySelectorAll('.row').length === 1")
    assert canvas.value(page) == {"relations": [near]}, "the prompt may be half written"
    page.locator(".spatial-steering .row input").uncheck()
    assert canvas.value(page) == {"relations": [off]}


def test_places_are_edited_among_places(page, server):
    _edits(page, "a cat on the left, a dog above a tree")
    first, second = page.locator(".spatial-steering .row").all()
    assert first.inner_text().split() == ["cat", *first.locator("select").inner_text().split()]
    assert "on the right" in first.inner_text() and "next to" not in first.inner_text()
    assert "next to" in second.inner_text() and "on the right" not in second.inner_text()

    first.locator("select").select_option(label="at the bottom")
    wanted = {"subject": "cat", "relation": "at_left", "object": None, "wanted": "at_bottom", "on": True}
    assert canvas.value(page) == {"relations": [wanted]}

    assert canvas.run(page, server).splitlines() == ["cat at the bottom", "dog above tree"]


def test_run_steers_by_the_edits(page, server):
    _edits(page, "a cat to the left of a dog and a clock above a tree")
    first, second = page.locator(".spatial-steering .row").all()
    first.locator("input").uncheck()
    second.locator("select").select_option("below")

    summary = canvas.run(page, server)

    assert "clock below tree" in summary
    assert "cat" not in summary
