"""What the canvas shows of a prompt in the real front end, and what it says where it shows nothing."""

from __future__ import annotations

import canvas
import chips
import pytest

pytestmark = pytest.mark.usefixtures("no_errors")
_PLACED = {
    "to the left of": lambda dx, dy: dx < -0.1 and abs(dy) < 3,
    "to the right of": lambda dx, dy: dx > 0.1 and abs(dy) < 3,
    "above": lambda dx, dy: dy < -0.1 and abs(dx) < 3,
    "below": lambda dx, dy: dy > 0.1 and abs(dx) < 3,
    "above and to the left of": lambda dx, dy: dx < -10 and dy < -10,
    "below and to the right of": lambda dx, dy: dx > 10 and dy > 10,
}


@pytest.mark.parametrize("phrase", _PLACED)
def test_read_relation_places_the_objects(page, phrase):
    canvas.show(page, f"a cat {phrase} a dog")

    (x, y), (to_x, to_y) = chips.centre(page, "cat"), chips.centre(page, "dog")
    assert _PLACED[phrase](x - to_x, y - to_y)
    assert canvas.said(page) == [f"cat {phrase} dog"]
    assert canvas.value(page) == {}


def test_chain_is_placed_in_order(page):
    canvas.show(page, "a cat to the left of a dog, a clock above a tree and a bird between a car and a bus")

    assert chips.centre(page, "cat")[0] < chips.centre(page, "dog")[0]
    assert chips.centre(page, "clock")[1] < chips.centre(page, "tree")[1]
    assert chips.centre(page, "car")[0] < chips.centre(page, "bird")[0] < chips.centre(page, "bus")[0]


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ("a cat and a dog and a bird and a tree and a car", 5),
        ("a cat and a dog in the upper left corner", 2),
        ("a cat, a dog and a bird in the lower right corner, a tree and a car in the center", 5),
        ("a cat on the left, a dog on the left, a bird on the left, a tree at the bottom, a car at the bottom", 5),
        (", ".join(f"a dog{number}" for number in range(20)), 20),
    ],
)
def test_objects_do_not_overlap(page, prompt, count):
    canvas.show(page, prompt)

    boxes = [chip.bounding_box() for chip in page.locator(".spatial-steering .chip").all()]
    assert len(boxes) == count
    for index, a in enumerate(boxes):
        for b in boxes[:index]:
            assert _are_apart(a, b)


def _abreast(y):
    """A layout in which two objects stand beside each other, one of them perhaps lower."""
    named = (("grand piano", 0.7, 0.5), ("teddy bear", 0.35, y))
    objects = [{"name": name, "occurrence": 0, "x": x, "y": y} for name, x, y in named]
    return {"objects": objects, "relations": [[0, "right_of", 1]]}


def _are_apart(one, other):
    beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
    return beside or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]


def test_relations_are_drawn_with_their_words(page):
    canvas.show(page, canvas.CAT_DOG)
    assert page.locator(".spatial-steering text.relation").all_text_contents() == ["to the left of"]


@pytest.mark.parametrize("y", [0.5, 0.58, 0.62, 0.7])
def test_no_name_lies_on_the_words_of_a_relation(page, y):
    canvas.show(page, "a grand piano to the right of a teddy bear, a cat")
    page.evaluate(f"value => {{ {canvas.NODE}.widgets[0].value = value }}", _abreast(y))
    words = page.locator(".spatial-steering text.relation").bounding_box()
    names = [name.bounding_box() for name in page.locator(".spatial-steering .chip").all()]
    assert len(names) == 3
    assert [name for name in names if not _are_apart(words, name)] == [], words


def test_comments_in_a_prompt_are_not_shown_as_they_are_not_sent(page, server):
    canvas.show(page, "a cat /* to the left of a dog */ above a bus // a bird on the left")
    assert canvas.said(page) == ["cat above bus"] and chips.chip(page, "dog").count() == 0
    assert canvas.run(page, server) == "cat above bus"


def test_a_very_long_name_leaves_room_for_others_and_is_told_whole(page):
    name = "donau" * 60
    canvas.show(page, f"a {name} to the left of a dog")
    chip, field = (page.locator(f".spatial-steering .{name}").first for name in ("chip", "field"))
    assert chip.bounding_box()["height"] < field.bounding_box()["height"] / 3
    assert chip.get_attribute("title") == name and chip.get_attribute("aria-label").startswith(f"{name}: ")
    said = page.locator(".spatial-steering .said")
    assert said.evaluate("said => said.scrollWidth <= said.clientWidth"), "its lines are broken"


_CONTRAST = """([text, ground]) => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })
    const luminance = colour => {
        canvas.fillStyle = colour
        canvas.fillRect(0, 0, 1, 1)
        const linear = [...canvas.getImageData(0, 0, 1, 1).data].map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }
    const colour = getComputedStyle(document.querySelector(text)).color
    const style = ground && getComputedStyle(document.querySelector(ground))
    const under = style?.backgroundColor ?? LiteGraph.NODE_DEFAULT_BGCOLOR
    const [dark, light] = [luminance(colour), luminance(under)].sort((a, b) => a - b)
    return (light + 0.05) / (dark + 0.05)
}"""


@pytest.mark.parametrize("palette", ["dark", "light", "solarized", "arc", "nord", "github"])
def test_words_are_read_in_every_palette(page, palette):
    canvas.show(page, canvas.CAT_DOG)
    try:
        page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
        page.wait_for_timeout(500)
        chip = page.evaluate(_CONTRAST, [".spatial-steering .chip", ".spatial-steering .chip"])
        assert chip > 4 and page.evaluate(_CONTRAST, [".spatial-steering .said", None]) > 4
    finally:
        page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")


def test_words_on_the_field_are_read_in_high_contrast(page):
    canvas.show(page, canvas.CAT_DOG)
    page.emulate_media(forced_colors="active")
    drawn = """() => ['fill', 'stroke'].map(name => getComputedStyle(document.querySelector('text.relation'))[name])"""
    system = """() => {
        const made = document.body.appendChild(document.createElement('p'))
        const colours = ['CanvasText', 'Canvas'].map(name => {
            made.style.color = name
            return getComputedStyle(made).color
        })
        made.remove()
        return colours
    }"""
    try:
        assert page.evaluate(drawn) == page.evaluate(system)
    finally:
        page.emulate_media(forced_colors="none")


def test_the_canvas_stays_as_wide_as_its_node(page):
    """The front end's panel of properties gives widgets its own width."""
    canvas.show(page, canvas.CAT_DOG)
    wide = page.locator(".spatial-steering").first.bounding_box()["width"]
    page.evaluate(
        f"() => {{ for (const widget of {canvas.NODE}.widgets) widget.width = 100; app.canvas.setDirty(true, true) }}"
    )
    page.wait_for_timeout(500)
    assert page.locator(".spatial-steering").first.bounding_box()["width"] == wide


@pytest.mark.parametrize("type", ["SpatialPrompt", "SceneLayout"])
def test_a_new_canvas_has_room_for_several_objects(page, type):
    canvas.build(page, canvas.CAT_DOG, f"SpatialSteering{type}")
    if type == "SpatialPrompt":
        page.evaluate(
            "text => { app.graph._nodes.find(n => n.type.endsWith('SpatialPrompt')).widgets[0].value = text }",
            canvas.CAT_DOG,
        )
    chips.chip(page, "cat").wait_for()
    assert page.locator(".spatial-steering .field").bounding_box()["height"] > 260


def test_field_grows_with_the_node(page):
    canvas.show(page, canvas.CAT_DOG)
    chips.drag(page, "cat", 0.9, 0.9)
    before = page.locator(".spatial-steering .field").bounding_box()

    def resize(size):
        page.evaluate(f"() => {{ {canvas.NODE}.setSize({size}); app.canvas.setDirty(true, true) }}")
        page.wait_for_timeout(500)
        return page.locator(".spatial-steering .field").bounding_box()

    after = resize([600, 740])
    assert after["width"] > before["width"] + 200
    assert after["height"] > before["height"] + 200
    assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.9, 0.9), abs=3)

    least = resize(f"{canvas.NODE}.computeSize()")
    assert least["width"] < before["width"]
    assert page.locator(".spatial-steering").bounding_box()["height"] >= 220
    assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.9, 0.9), abs=3)


def test_hints_say_what_is_missing(page):
    canvas.show(page, canvas.CAT_DOG)
    hint = page.locator(".spatial-steering .hint")
    assert not hint.is_visible()

    canvas.write(page, "")
    hint.wait_for()
    assert "Write a prompt that names objects" in hint.inner_text()

    page.evaluate(f"() => {canvas.NODE}.disconnectInput(0)")
    page.wait_for_function("() => document.querySelector('.spatial-steering .hint').textContent.includes('Connect')")


def test_more_objects_than_the_field_holds_are_said(page):
    canvas.build(page, ", ".join(f"a dog{number} above a cat{number}" for number in range(40)))
    page.wait_for_function("() => document.querySelector('.spatial-steering .hint').innerText.includes('more than 64')")

    canvas.write(page, canvas.CAT_DOG)
    chips.chip(page, "cat").wait_for()


def test_prompt_that_is_too_long_is_said(page):
    canvas.build(page, "a cat above a dog. " * 4000)
    page.wait_for_function(
        "() => document.querySelector('.spatial-steering .hint').innerText.includes('50000 letters')"
    )


def test_a_server_that_failed_once_is_asked_again(page):
    canvas.show(page, canvas.CAT_DOG)
    page.route("**/spatial_steering/describe", lambda route: route.abort())
    canvas.write(page, "a bird above a tree")
    page.locator(".spatial-steering .hint", has_text="could not read").wait_for()
    page.unroute("**/spatial_steering/describe")
    chips.chip(page, "bird").wait_for(timeout=15_000)
    page.errors.clear()
