"""Objects that are added to the canvas, taken off, and given other words, in the real front end."""

from __future__ import annotations

import canvas
import chips
import pytest

pytestmark = pytest.mark.usefixtures("no_errors")


def test_objects_are_added_by_words_of_the_prompt_in_any_language(page, server):
    canvas.build(page, "\u4e00\u53ea\u732b\u548c\u4e00\u53ea\u72d7")  # "a cat and a dog" in Chinese
    page.locator(".spatial-steering .field").wait_for()
    assert page.locator(".spatial-steering .chip").count() == 0, "a whole clause is no object"
    assert "Add the objects with +" in canvas.said(page)[0]
    chips.tool(page, "+").click()
    words = page.evaluate("() => [...document.querySelectorAll('.naming option')].map(({ value }) => value)")
    assert {"\u732b", "\u72d7"} <= set(words), "its words are suggested"
    chips.name(page, "\u732b")
    chips.chip(page, "\u732b").wait_for()
    assert canvas.given(page) == {}

    chips.tool(page, "+").click()
    chips.name(page, "zebra")
    assert "does not stand" in page.locator(".spatial-steering .wrong").inner_text()
    chips.name(page, "\u732b")
    assert "here already" in page.locator(".spatial-steering .wrong").inner_text()
    page.keyboard.press("Escape")

    chips.drag(page, "\u732b", 0.1, 0.5)
    assert canvas.run(page, server) == "\u732b on the left"


def test_the_same_word_is_added_once_for_each_time_that_it_stands_there_and_not_over_another_object(page, server):
    canvas.build(
        page,
        "\u5de6\u8fb9\u6709\u4e00\u53ea\u732b\u5728\u7761\u89c9\uff0c\u53f3\u8fb9\u6709\u4e00\u53ea\u732b\u5728\u8df3\u821e",
    )
    page.locator(".spatial-steering .field").wait_for()
    for label in ("\u732b", "\u732b 2"):
        chips.tool(page, "+").click()
        chips.name(page, "\u732b")
        chips.chip(page, label).wait_for()
    chips.drag(page, "\u732b", 0.1, 0.5)
    chips.drag(page, "\u732b 2", 0.9, 0.5)
    assert canvas.run(page, server).splitlines() == ["\u732b on the left", "\u732b 2 on the right"]
    chips.tool(page, "+").click()
    chips.name(page, "\u4e00\u53ea\u732b")
    assert "\u201c\u732b\u201d is here already" in page.locator(".spatial-steering .wrong").inner_text()


def test_an_object_is_taken_off_and_comes_back(page, server):
    canvas.show(page, "a cat to the left of a dog, and a bird above a tree")
    chips.chip(page, "dog").click()
    chips.tool(page, "\N{MULTIPLICATION X}").click()
    assert chips.chip(page, "dog").count() == 0
    assert canvas.value(page) == {"removed": [{"name": "dog", "occurrence": 0}]}
    assert canvas.run(page, server) == "bird above tree"

    chips.tool(page, "+").click()
    chips.name(page, "Dog")
    chips.chip(page, "dog").wait_for()
    assert "removed" not in canvas.value(page)
    chips.chip(page, "tree").focus()
    page.keyboard.press("Delete")
    assert chips.chip(page, "tree").count() == 0
    page.keyboard.press("Control+z")


def _comes_back(page, name):
    """Take an object off, and add it again."""
    chips.chip(page, name).click()
    chips.tool(page, "\N{MULTIPLICATION X}").click()
    chips.chip(page, name).wait_for(state="detached")
    chips.tool(page, "+").click()
    chips.name(page, name)
    chips.chip(page, name).wait_for()


def test_an_object_that_comes_back_stands_where_the_prompt_says_it_is(page, server):
    canvas.show(page, canvas.CAT_DOG)
    at_first = chips.centre(page, "cat")
    _comes_back(page, "cat")
    assert chips.centre(page, "cat") == pytest.approx(at_first, abs=2) and canvas.value(page) == {}
    chips.drag(page, "cat", 0.9, 0.1)
    _comes_back(page, "cat")
    assert chips.centre(page, "cat") == pytest.approx(at_first, abs=2)
    assert canvas.said(page) == ["cat to the left of dog"]
    canvas.write(page, "a cat above a dog")
    page.wait_for_function("() => document.querySelector('.said').innerText === 'cat above dog'")

    chips.drag(page, "dog", 0.8, 0.2)
    _comes_back(page, "cat")
    (x, y), (right, _) = chips.centre(page, "cat"), chips.centre(page, "dog")
    assert x == pytest.approx(right, abs=3) and y > 0, "as the prompt says to the dog, where the hand has put it"
    said = ["dog in the upper right corner", "cat above dog"]
    assert canvas.said(page) == said and canvas.run(page, server).splitlines() == said[::-1]


@pytest.mark.parametrize(("name", "other"), [("dog", "dog 2"), ("dog 2", "dog")])
def test_one_of_two_that_was_taken_off_comes_back_by_the_name_that_it_had(page, name, other):
    said = {"dog": "dog on the left", "dog 2": "dog 2 on the right"}
    canvas.show(page, "a dog on the left, a dog on the right")
    assert canvas.said(page) == [*said.values()]

    _comes_back(page, name)
    assert sorted(canvas.said(page)) == sorted(said.values())


def test_an_object_gets_other_words_and_keeps_what_is_asked_of_it(page, server):
    canvas.show(page, "a cat to the left of a dog in the snow")
    chips.drag(page, "cat", 0.1, 0.5)
    chips.chip(page, "cat").dblclick()
    chips.name(page, "snow")
    chips.chip(page, "snow").wait_for()
    assert chips.chip(page, "cat").count() == 0
    assert canvas.said(page) == ["snow on the left", "snow to the left of dog"]
    assert canvas.run(page, server).splitlines() == ["snow on the left", "snow to the left of dog"]

    saved, value = page.evaluate("() => app.graph.serialize()"), canvas.value(page)
    canvas.build(page, "a bird")
    page.evaluate("graph => app.loadGraphData(graph)", saved)
    chips.chip(page, "snow").wait_for()
    assert canvas.value(page) == value


def test_an_object_gets_fewer_of_its_own_words(page, server):
    canvas.show(page, "an old tower to the left of a dog")
    chips.chip(page, "old tower").dblclick()
    chips.name(page, "dog")
    assert "here already" in page.locator(".spatial-steering .wrong").inner_text()
    chips.name(page, "tower")
    chips.chip(page, "tower").wait_for(timeout=10_000)
    assert chips.chip(page, "old tower").count() == 0
    assert canvas.said(page) == ["tower to the left of dog"]
    assert canvas.run(page, server) == "tower to the left of dog"

    chips.chip(page, "tower").dblclick()
    chips.name(page, "old tower")
    chips.chip(page, "old tower").wait_for(timeout=10_000)
    assert canvas.said(page) == ["old tower to the left of dog"] and "removed" not in canvas.value(page)


def test_other_words_take_over_the_place_that_the_prompt_says(page):
    canvas.show(page, "a cat on the left in the snow")
    chips.chip(page, "cat").dblclick()
    chips.name(page, "snow")
    chips.chip(page, "snow").wait_for()
    assert canvas.said(page) == ["snow on the left"]


def test_a_name_is_not_given_to_an_object_of_another_prompt(page):
    canvas.show(page, "a cat to the left of a dog in the snow")
    chips.chip(page, "dog").dblclick()
    canvas.write(page, "a cat in the snow")
    page.locator(".spatial-steering .naming").wait_for(state="hidden")
    assert canvas.value(page) == {}


_FOCUSED = "() => document.activeElement.value"


def test_objects_are_added_renamed_and_taken_off_by_the_keyboard_alone(page):
    canvas.show(page, canvas.CAT_DOG + " in the snow")
    chips.tool(page, "+").focus()

    def press(*keys):
        for key in keys:
            page.keyboard.press(key)
        return page.evaluate(_FOCUSED)

    press("Enter")
    page.keyboard.type("snow")
    assert press("Enter") == "snow"
    assert press("F2", "Escape") == "snow"
    press("F2")
    page.keyboard.type("the snow")
    assert press("Enter") == "the snow"
    assert press("Delete") == "dog" and press("Delete") == "cat"
    assert press("Delete") == "+" and page.locator(".spatial-steering .chip").count() == 0
    assert press("Control+z") == "+" and press("Shift+Tab") == "cat"
