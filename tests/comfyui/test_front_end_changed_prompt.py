"""What the canvas keeps and says in the real front end once the prompt has changed."""

from __future__ import annotations

import canvas
import chips
import pytest

pytestmark = pytest.mark.usefixtures("no_errors")
_ABSENT = "placed, but not in the prompt: dog"


def _sent(page):
    """The layout as it is sent to the server."""
    nodes = page.evaluate("async () => (await app.graphToPrompt()).output").values()
    (layout,) = [node["inputs"]["layout"] for node in nodes if node["class_type"].endswith("SceneLayout")]
    return layout


def test_a_prompt_that_changes_loses_nothing_that_was_placed(page, server):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.3, 0.8)
    value = canvas.value(page)

    canvas.write(page, "a cat to the left of a bus")
    chips.chip(page, "bus").wait_for()

    said = ["cat in the lower left corner", "cat to the left of bus", _ABSENT]
    assert canvas.said(page) == said
    assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.3, 0.8), abs=3)
    assert chips.chip(page, "dog").count() == 0
    assert canvas.value(page) == value and _sent(page) == value
    assert sorted(canvas.run(page, server).splitlines()) == sorted(said)

    canvas.write(page, canvas.CAT_DOG)
    chips.chip(page, "dog").wait_for()
    assert canvas.said(page) == ["cat in the lower left corner", "cat below and to the left of dog"]
    assert canvas.relations(page) == [("cat", "below_left", "dog")]


def test_a_change_on_the_canvas_drops_what_the_prompt_does_not_name(page):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.3, 0.8)
    canvas.write(page, "a cat to the left of a bus")
    chips.chip(page, "bus").wait_for()
    chips.drag(page, "bus", 0.8, 0.2)
    assert set(canvas.places(page)) == {"cat", "bus"}
    assert canvas.relations(page) == [("cat", "below_left", "bus")]


@pytest.mark.parametrize(
    ("prompt", "moves", "taken_off", "after", "said"),
    [
        # By the very letters, also where one of two was taken off.
        ("a Dog and a dog", {"Dog": (0.1, 0.5)}, ["dog"], "a dog and a bird", []),
        # Two spellings come to mean the same words.
        (
            "a Dog and a dog",
            {"Dog": (0.1, 0.1), "dog": (0.9, 0.9)},
            [],
            "ein Haus mit DOG",
            ["DOG in the upper left corner", "placed, but not in the prompt: dog"],
        ),
        # Letters within a word name nothing.
        ("a hat, a dog", {"hat": (0.1, 0.5)}, [], "a dog that sleeps", ["placed, but not in the prompt: hat"]),
    ],
)
def test_the_canvas_says_of_another_prompt_what_the_server_asks(page, server, prompt, moves, taken_off, after, said):
    canvas.show(page, prompt)
    for name, point in moves.items():
        chips.drag(page, name, *point)
    for name in taken_off:
        chips.chip(page, name).click()
        chips.tool(page, "\N{MULTIPLICATION X}").click()
    before = canvas.said(page)
    canvas.write(page, after)
    page.wait_for_function("said => document.querySelector('.said').innerText !== said", arg="\n".join(before))
    shown = [line for line in canvas.said(page) if not line.startswith("Drag")]
    assert shown == said
    found = [line for line in canvas.run(page, server).splitlines() if not line.startswith("No spatial relation")]
    assert found == said


def test_objects_that_were_placed_and_come_to_be_related_are_as_they_lie(page, server):
    canvas.show(page, "a cat, a dog")
    chips.drag(page, "cat", 0.5, 0.1)
    chips.drag(page, "dog", 0.5, 0.9)
    value = canvas.value(page)
    # What is sent holds for the prompt, even if it was changed just now.
    canvas.write(page, "a cat to the left of a dog and a bird above a car")

    assert _sent(page) == value
    said = ["cat at the top", "dog at the bottom", "cat above dog", "bird above car"]
    assert sorted(canvas.run(page, server).splitlines()) == sorted(said)
    chips.chip(page, "bird").wait_for()
    overruled = "by hand, in place of the prompt's: cat to the left of dog (Reset follows the prompt)"
    assert sorted(canvas.said(page)) == sorted([*said, overruled])


def test_a_prompt_that_says_another_place_than_the_hand_is_said_to_be_overruled(page):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.95)
    chips.drag(page, "dog", 0.5, 0.05)
    said = ["cat at the bottom", "dog at the top", "cat below dog"]
    assert canvas.said(page) == said, "the hand has just answered the prompt"

    canvas.write(page, "a cat to the right of a dog, a bird above a tree")
    chips.chip(page, "bird").wait_for(timeout=10_000)
    overruled = "by hand, in place of the prompt's: cat to the right of dog (Reset follows the prompt)"
    assert sorted(canvas.said(page)) == sorted([*said, "bird above tree", overruled])
    chips.tool(page, "Reset").click()
    assert canvas.said(page) == ["cat to the right of dog", "bird above tree"]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a cat to the left of a bus", ["cat on the right", "cat to the left of bus", _ABSENT]),
        ("a cat above a dog, a bird", ["cat on the right", "cat to the right of dog"]),
        ("", ["cat on the right", "cat to the right of dog"]),
    ],
)
def test_a_prompt_that_changes_does_not_take_a_chip_from_the_hand(page, prompt, said):
    canvas.show(page, canvas.CAT_DOG)
    canvas.write(page, canvas.CAT_DOG + " ")
    page.mouse.move(*chips.centre(page, "cat"))
    page.mouse.down()
    page.mouse.move(*chips.at(page, 0.5, 0.4), steps=3)
    canvas.write(page, prompt)
    page.wait_for_timeout(1500)
    if prompt:
        page.mouse.move(*chips.at(page, 0.95, 0.5), steps=3)
        assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.95, 0.5), abs=12)  # lines below it have come
    page.mouse.up()
    if not prompt:
        canvas.write(page, canvas.CAT_DOG)
        chips.chip(page, "cat").wait_for()
        chips.drag(page, "cat", 0.95, 0.5)
    by_hand = [line for line in canvas.said(page) if not line.startswith("by hand")]
    assert by_hand == said and canvas.given(page) == {"cat": "at_right"}
