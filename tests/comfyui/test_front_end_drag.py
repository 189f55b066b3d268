"""Objects that are moved on the canvas in the real front end: what that asks, and how it is taken back."""

from __future__ import annotations

import canvas
import chips
import pytest

from steering_core.layout import TOUCHING_DISTANCE

pytestmark = pytest.mark.usefixtures("no_errors")


@pytest.mark.parametrize(
    ("place", "relation"),
    [
        ((0.9, 0.5), "right_of"),
        ((0.1, 0.5), "left_of"),
        ((0.5, 0.1), "above"),
        ((0.5, 0.9), "below"),
        ((0.1, 0.1), "above_left"),
        ((0.9, 0.1), "above_right"),
        ((0.1, 0.9), "below_left"),
        ((0.9, 0.9), "below_right"),
        ((0.5 + 0.9 * TOUCHING_DISTANCE, 0.5), "near"),
        ((0.5 + 1.1 * TOUCHING_DISTANCE, 0.5), "right_of"),
    ],
)
def test_drag_with_the_mouse_changes_the_relation(page, place, relation):
    canvas.show(page, canvas.CAT_DOG)
    node = page.evaluate(f"() => Array.from({canvas.NODE}.pos)")
    view = page.evaluate("() => Array.from(app.canvas.ds.offset)")

    chips.drag(page, "dog", 0.5, 0.5)
    chips.drag(page, "cat", *place)

    assert canvas.relations(page) == [("cat", relation, "dog")]
    assert canvas.places(page)["cat"] == pytest.approx(place, abs=0.02)
    assert page.evaluate(f"() => Array.from({canvas.NODE}.pos)") == node
    assert page.evaluate("() => Array.from(app.canvas.ds.offset)") == view


def test_drag_keeps_the_relations_of_others(page):
    canvas.show(page, "a cat to the left of a dog, and a clock above a tree")

    chips.drag(page, "cat", 1, 1)

    assert ("clock", "above", "tree") in canvas.relations(page)
    assert ("cat", "left_of", "dog") not in canvas.relations(page)


def test_drag_of_an_unrelated_object_gives_it_a_place_and_no_relation(page):
    canvas.show(page, "a cat to the left of a dog, and a tree")
    assert "tree" not in " ".join(canvas.said(page))

    chips.drag(page, "tree", 0.5, 0.05)

    assert canvas.relations(page) == [("cat", "left_of", "dog")]
    assert canvas.given(page) == {"tree": "at_top"}
    assert canvas.said(page) == ["tree at the top", "cat to the left of dog"]


@pytest.mark.parametrize(
    ("point", "place", "words"),
    [
        ((0.1, 0.5), "at_left", "on the left"),
        ((0.9, 0.55), "at_right", "on the right"),
        ((0.5, 0.1), "at_top", "at the top"),
        ((0.5, 0.9), "at_bottom", "at the bottom"),
        ((0.55, 0.45), "at_center", "in the center"),
        ((0.15, 0.15), "at_top_left", "in the upper left corner"),
        ((0.85, 0.1), "at_top_right", "in the upper right corner"),
        ((0.1, 0.9), "at_bottom_left", "in the lower left corner"),
        ((0.9, 0.9), "at_bottom_right", "in the lower right corner"),
    ],
)
def test_a_lone_object_that_is_dragged_gets_that_place(page, server, point, place, words):
    canvas.show(page, "a cat")
    assert canvas.said(page) == ["Drag an object to where it should be."]

    page.mouse.move(*chips.centre(page, "cat"))
    page.mouse.down()
    page.mouse.move(*chips.at(page, 0.3, 0.7), steps=3)
    page.mouse.move(*chips.at(page, *point), steps=5)
    # What will be asked is drawn while the chip is still held, and no value yet.
    assert canvas.said(page) == [f"cat {words}"]
    assert page.locator(".spatial-steering text.place").all_text_contents() == [words]
    assert page.locator(".spatial-steering .area").count() == 1
    assert canvas.value(page) == {}
    page.mouse.up()

    assert canvas.given(page) == {"cat": place}
    if place in ("at_left", "at_bottom_right"):
        assert canvas.run(page, server) == f"cat {words}"


def test_depth_is_said_to_be_read_and_not_steered(page, server):
    canvas.show(page, "a cat behind a dog")
    assert canvas.said(page) == ["Drag an object to where it should be.", "read, but not steered: cat behind dog"]
    chips.drag(page, "cat", 0.1, 0.5)
    assert canvas.said(page) == ["cat on the left", "read, but not steered: cat behind dog"]
    assert canvas.run(page, server).splitlines() == canvas.said(page)


def test_a_drag_out_of_the_prompts_place_takes_another(page, server):
    canvas.show(page, "a cat on the left")
    assert canvas.said(page) == ["cat on the left"]
    chips.drag(page, "cat", 0.9, 0.5)
    assert canvas.said(page) == ["cat on the right"]
    assert canvas.run(page, server) == "cat on the right"


def test_objects_in_the_center_stay_there_when_another_is_moved(page, server):
    canvas.show(page, "a clock in the center and a dog in the center to the left of a bus")
    chips.drag(page, "bus", 0.9, 0.9)
    said = canvas.said(page)
    assert {"clock in the center", "dog in the center", "bus in the lower right corner"} < set(said)
    assert sorted(canvas.run(page, server).splitlines()) == sorted(said)


def test_places_of_the_prompt_stay_beside_a_layout(page, server):
    canvas.show(page, "a cat in the upper right corner, a dog to the left of a bird, a tree in the center")
    (x, y), (right, top) = chips.centre(page, "cat"), chips.at(page, 0.7, 0.3)
    assert x > right and y < top
    assert chips.centre(page, "tree") == pytest.approx(chips.at(page, 0.5, 0.5), abs=2)
    places = ["cat in the upper right corner", "tree in the center"]
    assert canvas.said(page) == [*places, "dog to the left of bird"]

    chips.drag(page, "dog", 0.5, 0.05)
    chips.drag(page, "bird", 0.5, 0.95)
    asked = [*places, "dog at the top", "bird at the bottom", "dog above bird"]
    assert canvas.said(page) == asked and canvas.relations(page) == [("dog", "above", "bird")]

    assert canvas.run(page, server).splitlines() == asked


def test_run_steers_by_the_layout(page, server):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.05)
    chips.drag(page, "dog", 0.5, 0.95)

    summary = canvas.run(page, server)

    assert "cat above dog" in summary
    assert "left" not in summary


def test_a_layout_of_before_keeps_its_relations_to_the_nearest(page, server):
    """Objects that the prompt does not relate were related to the nearest when they were dragged."""
    canvas.show(page, "a cat and a dog and a tree")
    objects = [
        {"name": name, "occurrence": 0, "x": x, "y": 0.5} for name, x in (("cat", 0.1), ("dog", 0.9), ("tree", 0.5))
    ]
    value = {"objects": objects, "relations": [[0, "left_of", 1], [2, "left_of", 1]]}
    page.evaluate(f"value => {{ {canvas.NODE}.widgets[0].value = value }}", value)
    assert canvas.value(page) == value
    assert canvas.run(page, server).splitlines() == ["cat to the left of dog", "tree to the left of dog"]
    chips.drag(page, "tree", 0.5, 0.95)
    assert canvas.run(page, server).splitlines() == ["tree at the bottom", "cat to the left of dog"]


def test_drag_by_touch(page):
    canvas.show(page, canvas.CAT_DOG)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    view = page.evaluate("() => Array.from(app.canvas.ds.offset)")

    def touch(kind, *points):
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    start, end = chips.centre(page, "cat"), chips.at(page, 0.9, 0.1)
    touch("touchStart", start)
    for part in (0.25, 0.5, 0.75, 1):
        touch("touchMove", tuple(a + part * (b - a) for a, b in zip(start, end)))
    touch("touchEnd")
    devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": False})

    page.wait_for_function(f"() => ({canvas.VALUE})().objects")
    assert canvas.places(page)["cat"] == pytest.approx((0.9, 0.1), abs=0.03)
    assert canvas.relations(page) == [("cat", "above_right", "dog")]
    assert page.evaluate("() => Array.from(app.canvas.ds.offset)") == view


def test_a_second_finger_takes_the_chip_from_the_first(page):
    canvas.show(page, canvas.CAT_DOG)
    page.mouse.move(*chips.centre(page, "cat"))
    page.mouse.down()
    page.mouse.move(*chips.at(page, 0.9, 0.9), steps=5)
    press = "new PointerEvent('pointerdown', { pointerId: 77, bubbles: true })"
    page.evaluate(f"() => document.querySelector('.spatial-steering .field').dispatchEvent({press})")
    page.mouse.move(*chips.at(page, 0.5, 0.9), steps=5)
    page.mouse.up()
    assert canvas.value(page) == {}
    chips.drag(page, "cat", 0.9, 0.1)
    assert canvas.relations(page) == [("cat", "above_right", "dog")]


def test_a_click_that_trembles_places_nothing(page):
    canvas.show(page, canvas.CAT_DOG)
    x, y = chips.centre(page, "cat")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 1, y)
    page.mouse.up()
    assert canvas.value(page) == {}


def test_arrow_keys_move_and_escape_leaves(page):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.5)
    cat = chips.chip(page, "cat")

    cat.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert canvas.places(page)["cat"] == pytest.approx((0.52, 0.52), abs=0.02)
    page.keyboard.press("Shift+ArrowLeft")
    assert canvas.places(page)["cat"] == pytest.approx((0.42, 0.52), abs=0.02)
    assert cat.get_attribute("aria-label") == "cat: 42 % from the left, 52 % from the top"

    page.keyboard.press("Tab")
    assert chips.chip(page, "dog").evaluate("chip => chip === document.activeElement")
    page.keyboard.press("Escape")
    assert not chips.chip(page, "dog").evaluate("chip => chip === document.activeElement")


def test_undo_and_redo(page):
    canvas.show(page, canvas.CAT_DOG)
    graph = page.evaluate("() => app.graph._nodes.length")
    chips.drag(page, "cat", 0.5, 0.1)
    first = canvas.value(page)
    chips.drag(page, "cat", 0.5, 0.9)
    second = canvas.value(page)

    def press(keys):
        page.keyboard.press(keys)
        page.wait_for_timeout(100)  # ComfyUI would take back its own on the next frame
        return canvas.value(page)

    assert press("Control+z") == first
    assert press("Control+z") == {}
    assert press("Control+z") == {}
    assert press("Control+Shift+z") == first
    assert press("Control+y") == second
    assert page.evaluate("() => app.graph._nodes.length") == graph
    assert chips.chip(page, "cat").evaluate("chip => chip === document.activeElement")

    chips.tool(page, "\N{ANTICLOCKWISE TOP SEMICIRCLE ARROW}").click()
    assert canvas.value(page) == first
    chips.tool(page, "Reset").click()
    assert canvas.value(page) == {}
    assert canvas.said(page) == ["cat to the left of dog"]
    chips.tool(page, "\N{ANTICLOCKWISE TOP SEMICIRCLE ARROW}").click()
    assert canvas.value(page) == first


def test_undo_of_the_graph_takes_a_move_back_too(page):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.1)
    first = canvas.value(page)
    chips.chip(page, "cat").focus()
    page.keyboard.press("ArrowRight")
    assert canvas.value(page) != first

    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")

    canvas.wait_for_value(page, first)
    chips.chip(page, "cat").wait_for()


def test_changes_are_taken_back_one_after_the_other(page):
    canvas.show(page, canvas.CAT_DOG + " in the snow")
    chips.drag(page, "cat", 0.5, 0.05)
    first = canvas.value(page)
    chips.tool(page, "+").click()
    chips.name(page, "snow")
    chips.chip(page, "snow").wait_for()
    chips.chip(page, "cat").focus()
    page.keyboard.press("Control+z")
    canvas.wait_for_value(page, first)
    page.keyboard.press("Control+z")
    canvas.wait_for_value(page, {})


def test_saved_workflow_brings_the_places_back(page):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.8, 0.9)
    saved, value = page.evaluate("() => app.graph.serialize()"), canvas.value(page)
    canvas.build(page, "a bird")

    page.evaluate("graph => app.loadGraphData(graph)", saved)
    chips.chip(page, "cat").wait_for()

    assert canvas.value(page) == value
    x, y = chips.centre(page, "cat")
    assert (x, y) == pytest.approx(chips.at(page, 0.8, 0.9), abs=3)
