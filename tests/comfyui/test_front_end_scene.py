"""The widgets of Scene Layout and Edit Relations in the real front end, in a headless browser."""

from __future__ import annotations

import time

import chips
import pytest
from graphs import EMPTY_GRAPH

_BUILD = (
    """([prompt, type]) => {"""
    + EMPTY_GRAPH
    + """
    const model = add('SpatialSteeringLoadMiniatureModel', 0, 0)
    const parser = add('SpatialSteeringRelationParser', 0, 200)
    const node = add(type, 450, 0)
    const shown = add('PreviewAny', 900, 0)
    model.connect(1, parser, 0)
    parser.connect(1, node, 0)
    node.connect(1, shown, 0)
    parser.widgets.find(widget => widget.name === 'text').value = prompt
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [150, 150]
    app.canvas.setDirty(true, true)
}"""
)
_NODE = (
    "app.graph._nodes.find(node => ['SpatialSteeringSceneLayout', 'SpatialSteeringEditRelations'].includes(node.type))"
)
_PARSER = "app.graph._nodes.find(node => node.type === 'SpatialSteeringRelationParser')"
_VALUE = f"() => JSON.parse({_NODE}.serialize().widgets_values[0])"
_CAT_DOG = "a cat to the left of a dog"
_NEAR = 0.2


@pytest.fixture(autouse=True)
def no_errors(page):
    yield
    assert page.errors == []


def _build(page, prompt, type="SpatialSteeringSceneLayout"):
    page.evaluate(_BUILD, [prompt, type])
    page.locator(".spatial-steering").wait_for()


def _layout(page, prompt):
    _build(page, prompt)
    page.locator(".spatial-steering .chip").first.wait_for()


def _write(page, prompt):
    page.evaluate(f"text => {{ {_PARSER}.widgets.find(widget => widget.name === 'text').value = text }}", prompt)


def _said(page):
    return page.locator(".spatial-steering .said").inner_text().splitlines()


def _relations(page):
    """The relations of the layout's value, by names."""
    value = page.evaluate(_VALUE)
    names = [placed["name"] for placed in value["objects"]]
    return [(names[a], relation, names[b]) for a, relation, b in value["relations"] if b is not None]


def _given(page):
    """By name the places in the picture that the layout's value gives."""
    value = page.evaluate(_VALUE)
    return {value["objects"][a]["name"]: place for a, place, b in value["relations"] if b is None}


def _places(page):
    return {placed["name"]: (placed["x"], placed["y"]) for placed in page.evaluate(_VALUE)["objects"]}


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
    _layout(page, f"a cat {phrase} a dog")

    (x, y), (to_x, to_y) = chips.centre(page, "cat"), chips.centre(page, "dog")
    assert _PLACED[phrase](x - to_x, y - to_y)
    assert _said(page) == [f"cat {phrase} dog"]
    assert page.evaluate(_VALUE) == {}


def test_chain_is_placed_in_order(page):
    _layout(page, "a cat to the left of a dog, a clock above a tree and a bird between a car and a bus")

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
    ],
)
def test_objects_do_not_overlap(page, prompt, count):
    _layout(page, prompt)

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
        ((0.5 + 0.9 * _NEAR, 0.5), "near"),
        ((0.5 + 1.1 * _NEAR, 0.5), "right_of"),
    ],
)
def test_drag_with_the_mouse_changes_the_relation(page, place, relation):
    _layout(page, _CAT_DOG)
    node = page.evaluate(f"() => Array.from({_NODE}.pos)")
    view = page.evaluate("() => Array.from(app.canvas.ds.offset)")

    chips.drag(page, "dog", 0.5, 0.5)
    chips.drag(page, "cat", *place)

    assert _relations(page) == [("cat", relation, "dog")]
    assert _places(page)["cat"] == pytest.approx(place, abs=0.02)
    assert page.evaluate(f"() => Array.from({_NODE}.pos)") == node
    assert page.evaluate("() => Array.from(app.canvas.ds.offset)") == view


def test_drag_keeps_the_relations_of_others(page):
    _layout(page, "a cat to the left of a dog, and a clock above a tree")

    chips.drag(page, "cat", 1, 1)

    assert ("clock", "above", "tree") in _relations(page)
    assert ("cat", "left_of", "dog") not in _relations(page)


def test_drag_of_an_unrelated_object_gives_it_a_place_and_no_relation(page):
    _layout(page, "a cat to the left of a dog, and a tree")
    assert "tree" not in " ".join(_said(page))

    chips.drag(page, "tree", 0.5, 0.05)

    assert _relations(page) == [("cat", "left_of", "dog")]
    assert _given(page) == {"tree": "at_top"}
    assert _said(page) == ["tree at the top", "cat to the left of dog"]


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
    _layout(page, "a cat")
    assert _said(page) == ["Drag an object to where it should be."]

    page.mouse.move(*chips.centre(page, "cat"))
    page.mouse.down()
    page.mouse.move(*chips.at(page, 0.3, 0.7), steps=3)
    page.mouse.move(*chips.at(page, *point), steps=5)
    # What will be asked is drawn while the chip is still held, and no value yet.
    assert _said(page) == [f"cat {words}"]
    assert page.locator(".spatial-steering text.place").all_text_contents() == [words]
    assert page.locator(".spatial-steering .area").count() == 1
    assert page.evaluate(_VALUE) == {}
    page.mouse.up()

    assert _given(page) == {"cat": place}
    if place in ("at_left", "at_bottom_right"):
        assert _run(page, server) == f"cat {words}"


def test_depth_is_said_to_be_read_and_not_steered(page, server):
    _layout(page, "a cat behind a dog")
    assert _said(page) == ["Drag an object to where it should be.", "read, but not steered: cat behind dog"]
    chips.drag(page, "cat", 0.1, 0.5)
    assert _said(page) == ["cat on the left", "read, but not steered: cat behind dog"]
    assert _run(page, server).splitlines() == _said(page)


def test_relations_are_drawn_with_their_words(page):
    _layout(page, _CAT_DOG)
    assert page.locator(".spatial-steering text.relation").all_text_contents() == ["to the left of"]


@pytest.mark.parametrize("y", [0.5, 0.58, 0.62, 0.7])
def test_no_name_lies_on_the_words_of_a_relation(page, y):
    _layout(page, "a grand piano to the right of a teddy bear, a cat")
    page.evaluate(f"value => {{ {_NODE}.widgets[0].value = value }}", _abreast(y))
    words = page.locator(".spatial-steering text.relation").bounding_box()
    names = [name.bounding_box() for name in page.locator(".spatial-steering .chip").all()]
    assert len(names) == 3
    assert [name for name in names if not _are_apart(words, name)] == [], words


def test_a_drag_out_of_the_prompts_place_takes_another(page, server):
    _layout(page, "a cat on the left")
    assert _said(page) == ["cat on the left"]
    chips.drag(page, "cat", 0.9, 0.5)
    assert _said(page) == ["cat on the right"]
    assert _run(page, server) == "cat on the right"


def test_a_layout_of_before_keeps_its_relations_to_the_nearest(page, server):
    """Objects that the prompt does not relate were related to the nearest when they were dragged."""
    _layout(page, "a cat and a dog and a tree")
    objects = [
        {"name": name, "occurrence": 0, "x": x, "y": 0.5} for name, x in (("cat", 0.1), ("dog", 0.9), ("tree", 0.5))
    ]
    value = {"objects": objects, "relations": [[0, "left_of", 1], [2, "left_of", 1]]}
    page.evaluate(f"value => {{ {_NODE}.widgets[0].value = value }}", value)
    assert page.evaluate(_VALUE) == value
    assert _run(page, server).splitlines() == ["cat to the left of dog", "tree to the left of dog"]
    chips.drag(page, "tree", 0.5, 0.95)
    assert _run(page, server).splitlines() == ["tree at the bottom", "cat to the left of dog"]


def _tool(page, sign):
    return page.locator(f'.spatial-steering .tools input[value="{sign}"]')


def _name(page, words):
    page.locator(".spatial-steering .naming .name").fill(words)
    page.keyboard.press("Enter")


def test_objects_are_added_by_words_of_the_prompt_in_any_language(page, server):
    _build(page, "\u4e00\u53ea\u732b\u548c\u4e00\u53ea\u72d7")  # "a cat and a dog" in Chinese
    _tool(page, "+").click()
    _name(page, "\u732b")
    chips.chip(page, "\u732b").wait_for()
    assert _given(page) == {}

    _tool(page, "+").click()
    _name(page, "zebra")
    assert "does not stand" in page.locator(".spatial-steering .wrong").inner_text()
    _name(page, "\u732b")
    assert "here already" in page.locator(".spatial-steering .wrong").inner_text()
    page.keyboard.press("Escape")

    chips.drag(page, "\u732b", 0.1, 0.5)
    assert _run(page, server) == "\u732b on the left"


def test_an_object_is_taken_off_and_comes_back(page, server):
    _layout(page, "a cat to the left of a dog, and a bird above a tree")
    chips.chip(page, "dog").click()
    _tool(page, "\N{MULTIPLICATION X}").click()
    assert chips.chip(page, "dog").count() == 0
    assert page.evaluate(_VALUE) == {"removed": [{"name": "dog", "occurrence": 0}]}
    assert _run(page, server) == "bird above tree"

    _tool(page, "+").click()
    _name(page, "Dog")
    chips.chip(page, "dog").wait_for()
    assert "removed" not in page.evaluate(_VALUE)
    chips.chip(page, "tree").focus()
    page.keyboard.press("Delete")
    assert chips.chip(page, "tree").count() == 0
    page.keyboard.press("Control+z")


def test_an_object_gets_other_words_and_keeps_what_is_asked_of_it(page, server):
    _layout(page, "a cat to the left of a dog in the snow")
    chips.drag(page, "cat", 0.1, 0.5)
    chips.chip(page, "cat").dblclick()
    _name(page, "snow")
    chips.chip(page, "snow").wait_for()
    assert chips.chip(page, "cat").count() == 0
    assert _said(page) == ["snow on the left", "snow to the left of dog"]
    assert _run(page, server).splitlines() == ["snow on the left", "snow to the left of dog"]

    saved, value = page.evaluate("() => app.graph.serialize()"), page.evaluate(_VALUE)
    _build(page, "a bird")
    page.evaluate("graph => app.loadGraphData(graph)", saved)
    chips.chip(page, "snow").wait_for()
    assert page.evaluate(_VALUE) == value


def test_an_object_gets_fewer_of_its_own_words(page, server):
    _layout(page, "an old tower to the left of a dog")
    chips.chip(page, "old tower").dblclick()
    _name(page, "dog")
    assert "here already" in page.locator(".spatial-steering .wrong").inner_text()
    _name(page, "tower")
    chips.chip(page, "tower").wait_for(timeout=10_000)
    assert chips.chip(page, "old tower").count() == 0
    assert _said(page) == ["tower to the left of dog"]
    assert _run(page, server) == "tower to the left of dog"

    chips.chip(page, "tower").dblclick()
    _name(page, "old tower")
    chips.chip(page, "old tower").wait_for(timeout=10_000)
    assert _said(page) == ["old tower to the left of dog"] and "removed" not in page.evaluate(_VALUE)


_SAMPLE = """() => {
    const add = (type, x, y) => {
        const node = LiteGraph.createNode(type)
        node.pos = [x, y]
        app.graph.add(node)
        return node
    }
    const find = type => app.graph._nodes.find(node => node.type === type)
    const [model, parser] = [find('SpatialSteeringLoadMiniatureModel'), find('SpatialSteeringRelationParser')]
    const layout = find('SpatialSteeringSceneLayout')
    const sampler = add('SpatialSteeringSteeredKSampler', 0, 500)
    const latent = add('EmptyLatentImage', 0, 1200)
    const decode = add('VAEDecode', 500, 500)
    const shown = add('PreviewImage', 900, 500)
    const slot = name => sampler.inputs.findIndex(input => input.name === name)
    model.connect(0, sampler, slot('model'))
    parser.connect(0, sampler, slot('positive'))
    parser.connect(0, sampler, slot('negative'))
    layout.connect(0, sampler, slot('relations'))
    latent.connect(0, sampler, slot('latent_image'))
    sampler.connect(0, decode, 0)
    model.connect(2, decode, 1)
    decode.connect(0, shown, 0)
    const set = (node, name, value) => { node.widgets.find(widget => widget.name === name).value = value }
    for (const side of ['width', 'height']) set(latent, side, 128)
    set(sampler, 'steps', 8)
}"""


#: A graph that is opened has an id of its own from then on.
_OPEN_AGAIN = "async () => await app.loadGraphData(app.graph.serialize())"


def test_the_picture_of_the_last_run_lies_under_the_objects_with_where_attention_saw_them(page, server):
    _layout(page, "a giraffe above an airplane")
    page.evaluate(_SAMPLE)
    page.evaluate(_OPEN_AGAIN)
    picture = page.locator(".spatial-steering .picture")
    assert picture.is_hidden() and _tool(page, "\N{WHITE SQUARE CONTAINING BLACK SMALL SQUARE}").is_hidden()

    page.evaluate("() => app.queuePrompt(0)")
    picture.wait_for()
    page.wait_for_function("() => document.querySelector('.spatial-steering .picture').naturalWidth === 128")
    assert page.locator(".spatial-steering .seen").count() == 2

    _tool(page, "\N{WHITE SQUARE CONTAINING BLACK SMALL SQUARE}").click()
    assert picture.is_hidden() and page.locator(".spatial-steering .seen").count() == 0

    page.evaluate(_OPEN_AGAIN)  # as undo does
    picture.wait_for()
    _layout(page, _CAT_DOG)
    assert picture.is_hidden(), "a new graph, whose nodes have the same ids"


_LAST = """() => {
    const marks = [...document.querySelectorAll('.spatial-steering .seen')]
    const at = marks.map(mark => [mark.getAttribute('cx'), mark.getAttribute('cy')])
    const picture = document.querySelector('.spatial-steering .picture')
    return JSON.stringify([picture.hidden, picture.src, at])
}"""


def test_rings_and_picture_are_of_one_run_and_a_cancelled_run_leaves_none(page, server):
    _layout(page, "a giraffe above an airplane")
    page.evaluate(_SAMPLE)
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => document.querySelector('.spatial-steering .picture').naturalWidth === 128")
    page.wait_for_timeout(1000)
    first = page.evaluate(_LAST)

    longer = (
        f"{chips.widget_value('SteeredKSampler', 'seed')} = 7; {chips.widget_value('SteeredKSampler', 'steps')} = 400"
    )
    page.evaluate(f"async () => {{ {longer}; await app.queuePrompt(0) }}")
    page.wait_for_function(f"last => ({_LAST})() !== last", arg=first)
    assert page.locator(".spatial-steering .picture").is_hidden(), "rings of a run that has no picture yet"
    assert page.locator(".spatial-steering .seen").count() == 2
    page.evaluate("async () => await app.api.interrupt()")
    page.wait_for_function(f"last => ({_LAST})() === last", arg=first)


def test_a_picture_that_was_drawn_while_another_tab_was_open_is_there_when_one_comes_back(page, server):
    _layout(page, "a giraffe above an airplane")
    page.evaluate(_SAMPLE)
    page.evaluate(_OPEN_AGAIN)
    page.evaluate("""() => {
        window.first = app.extensionManager.workflow.activeWorkflow
        const told = ended => app.api.addEventListener('execution_success', () => ended(window.isOver = true))
        window.ended = new Promise(told)
    }""")
    page.evaluate(f"async () => {{ {chips.widget_value('SteeredKSampler', 'steps')} = 200; await app.queuePrompt(0) }}")
    page.evaluate("async () => { await app.loadGraphData({ nodes: [], links: [], version: 0.4 }) }")
    assert page.locator(".spatial-steering").count() == 0 and not page.evaluate("() => window.isOver")
    page.evaluate("async () => { await ended }")
    page.wait_for_timeout(1000)
    page.evaluate("async () => { await app.loadGraphData(first.activeState, true, true, first) }")
    page.locator(".spatial-steering .picture").wait_for()


def test_the_canvas_stays_as_wide_as_its_node(page):
    """The front end's panel of properties gives widgets its own width."""
    _layout(page, _CAT_DOG)
    wide = page.locator(".spatial-steering").first.bounding_box()["width"]
    page.evaluate(
        f"() => {{ for (const widget of {_NODE}.widgets) widget.width = 100; app.canvas.setDirty(true, true) }}"
    )
    page.wait_for_timeout(500)
    assert page.locator(".spatial-steering").first.bounding_box()["width"] == wide


def _boxes(page):
    """Of the field, the frame of the picture in it and the picture."""
    return [page.locator(f".spatial-steering .{name}").bounding_box() for name in ("field", "stage", "picture")]


def test_the_picture_keeps_its_proportions_and_objects_their_places_in_it(page, server):
    _layout(page, "a giraffe above an airplane")
    chips.drag(page, "giraffe", 0.9, 0.1)
    value = page.evaluate(_VALUE)
    page.evaluate(_SAMPLE)
    width, steps = chips.widget_value("EmptyLatentImage", "width"), chips.widget_value("SteeredKSampler", "steps")
    page.evaluate(f"() => {{ {width} = 64; {steps} = 1 }}")
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => document.querySelector('.spatial-steering .picture').naturalWidth === 64")

    for size in ([400, 900], [900, 500]):
        page.evaluate(f"() => {{ {_NODE}.setSize({size}); app.canvas.setDirty(true, true) }}")
        page.wait_for_timeout(500)
        field, stage, picture = _boxes(page)
        assert picture == stage and stage["width"] / stage["height"] == pytest.approx(0.5, abs=0.01)
        shares = [stage[side] / (share * field[side]) for side, share in (("width", 0.7), ("height", 0.8))]
        assert max(shares) == pytest.approx(1, abs=0.02), "as large as the field lets it be"
        assert stage["x"] + stage["width"] / 2 == pytest.approx(field["x"] + field["width"] / 2, abs=2)
        assert chips.centre(page, "giraffe") == pytest.approx(chips.at(page, 0.9, 0.1), abs=3)
    assert page.evaluate(_VALUE) == value

    chips.drag(page, "airplane", 0.1, 0.9)
    assert _places(page)["airplane"] == pytest.approx((0.1, 0.9), abs=0.02)
    _, shown, _ = _boxes(page)
    _tool(page, "\N{WHITE SQUARE CONTAINING BLACK SMALL SQUARE}").click()
    assert page.locator(".spatial-steering .picture").is_hidden()
    assert page.locator(".spatial-steering .stage").bounding_box() == shown


def test_drag_by_touch(page):
    _layout(page, _CAT_DOG)
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

    page.wait_for_function(f"() => ({_VALUE})().objects")
    assert _places(page)["cat"] == pytest.approx((0.9, 0.1), abs=0.03)
    assert _relations(page) == [("cat", "above_right", "dog")]
    assert page.evaluate("() => Array.from(app.canvas.ds.offset)") == view


def test_arrow_keys_move_and_escape_leaves(page):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.5)
    cat = chips.chip(page, "cat")

    cat.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert _places(page)["cat"] == pytest.approx((0.52, 0.52), abs=0.02)
    page.keyboard.press("Shift+ArrowLeft")
    assert _places(page)["cat"] == pytest.approx((0.42, 0.52), abs=0.02)
    assert cat.get_attribute("aria-label") == "cat: 42 % from the left, 52 % from the top"

    page.keyboard.press("Tab")
    assert chips.chip(page, "dog").evaluate("chip => chip === document.activeElement")
    page.keyboard.press("Escape")
    assert not chips.chip(page, "dog").evaluate("chip => chip === document.activeElement")


def test_undo_and_redo(page):
    _layout(page, _CAT_DOG)
    graph = page.evaluate("() => app.graph._nodes.length")
    chips.drag(page, "cat", 0.5, 0.1)
    first = page.evaluate(_VALUE)
    chips.drag(page, "cat", 0.5, 0.9)
    second = page.evaluate(_VALUE)

    def press(keys):
        page.keyboard.press(keys)
        page.wait_for_timeout(100)  # ComfyUI would take back its own on the next frame
        return page.evaluate(_VALUE)

    assert press("Control+z") == first
    assert press("Control+z") == {}
    assert press("Control+z") == {}
    assert press("Control+Shift+z") == first
    assert press("Control+y") == second
    assert page.evaluate("() => app.graph._nodes.length") == graph
    assert chips.chip(page, "cat").evaluate("chip => chip === document.activeElement")

    page.locator('.spatial-steering input[value="\N{ANTICLOCKWISE TOP SEMICIRCLE ARROW}"]').click()
    assert page.evaluate(_VALUE) == first
    page.locator('.spatial-steering input[value="Reset"]').click()
    assert page.evaluate(_VALUE) == {}
    assert _said(page) == ["cat to the left of dog"]
    page.locator('.spatial-steering input[value="\N{ANTICLOCKWISE TOP SEMICIRCLE ARROW}"]').click()
    assert page.evaluate(_VALUE) == first


def test_undo_of_the_graph_takes_a_move_back_too(page):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.1)
    first = page.evaluate(_VALUE)
    chips.chip(page, "cat").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(_VALUE) != first

    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")

    page.wait_for_function(f"first => JSON.stringify(({_VALUE})()) === JSON.stringify(first)", arg=first)
    chips.chip(page, "cat").wait_for()


def test_saved_workflow_brings_the_places_back(page):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.8, 0.9)
    saved, value = page.evaluate("() => app.graph.serialize()"), page.evaluate(_VALUE)
    _build(page, "a bird")

    page.evaluate("graph => app.loadGraphData(graph)", saved)
    chips.chip(page, "cat").wait_for()

    assert page.evaluate(_VALUE) == value
    x, y = chips.centre(page, "cat")
    assert (x, y) == pytest.approx(chips.at(page, 0.8, 0.9), abs=3)


def _sent(page):
    """The layout as it is sent to the server."""
    nodes = page.evaluate("async () => (await app.graphToPrompt()).output").values()
    (layout,) = [node["inputs"]["layout"] for node in nodes if node["class_type"].endswith("SceneLayout")]
    return layout


def test_a_prompt_that_changes_loses_nothing_that_was_placed(page, server):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.3, 0.8)
    value = page.evaluate(_VALUE)

    _write(page, "a cat to the left of a bus")
    chips.chip(page, "bus").wait_for()

    said = ["cat in the lower left corner", "cat to the left of bus", "placed, but not in the prompt: dog"]
    assert _said(page) == said
    assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.3, 0.8), abs=3)
    assert chips.chip(page, "dog").count() == 0
    assert page.evaluate(_VALUE) == value and _sent(page) == value
    assert sorted(_run(page, server).splitlines()) == sorted(said)

    _write(page, _CAT_DOG)
    chips.chip(page, "dog").wait_for()
    assert _said(page) == ["cat in the lower left corner", "cat below and to the left of dog"]
    assert _relations(page) == [("cat", "below_left", "dog")]


def test_a_change_on_the_canvas_drops_what_the_prompt_does_not_name(page):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.3, 0.8)
    _write(page, "a cat to the left of a bus")
    chips.chip(page, "bus").wait_for()
    chips.drag(page, "bus", 0.8, 0.2)
    assert set(_places(page)) == {"cat", "bus"}
    assert _relations(page) == [("cat", "below_left", "bus")]


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
    _layout(page, prompt)
    for name, point in moves.items():
        chips.drag(page, name, *point)
    for name in taken_off:
        chips.chip(page, name).click()
        _tool(page, "\N{MULTIPLICATION X}").click()
    before = _said(page)
    _write(page, after)
    page.wait_for_function("said => document.querySelector('.said').innerText !== said", arg="\n".join(before))
    shown = [line for line in _said(page) if not line.startswith("Drag")]
    assert shown == said
    found = [line for line in _run(page, server).splitlines() if not line.startswith("No spatial relation")]
    assert found == said


def test_other_words_take_over_the_place_that_the_prompt_says(page):
    _layout(page, "a cat on the left in the snow")
    chips.chip(page, "cat").dblclick()
    _name(page, "snow")
    chips.chip(page, "snow").wait_for()
    assert _said(page) == ["snow on the left"]


def test_objects_in_the_center_stay_there_when_another_is_moved(page, server):
    _layout(page, "a clock in the center and a dog in the center to the left of a bus")
    chips.drag(page, "bus", 0.9, 0.9)
    said = _said(page)
    assert {"clock in the center", "dog in the center", "bus in the lower right corner"} < set(said)
    assert sorted(_run(page, server).splitlines()) == sorted(said)


def test_one_of_two_that_was_taken_off_comes_back_by_its_words(page):
    _layout(page, "a dog on the left, a dog on the right")
    chips.chip(page, "dog 2").click()
    _tool(page, "\N{MULTIPLICATION X}").click()
    assert _said(page) == ["dog on the left"]
    _tool(page, "+").click()
    _name(page, "dog 2")
    chips.chip(page, "dog 2").wait_for()
    assert _said(page) == ["dog 1 on the left", "dog 2 on the right"]


def test_a_name_is_not_given_to_an_object_of_another_prompt(page):
    _layout(page, "a cat to the left of a dog in the snow")
    chips.chip(page, "dog").dblclick()
    _write(page, "a cat in the snow")
    page.locator(".spatial-steering .naming").wait_for(state="hidden")
    assert page.evaluate(_VALUE) == {}


def test_changes_are_taken_back_one_after_the_other(page):
    _layout(page, _CAT_DOG + " in the snow")
    chips.drag(page, "cat", 0.5, 0.05)
    first = page.evaluate(_VALUE)
    _tool(page, "+").click()
    _name(page, "snow")
    chips.chip(page, "snow").wait_for()
    chips.chip(page, "cat").focus()
    page.keyboard.press("Control+z")
    page.wait_for_function(f"first => JSON.stringify(({_VALUE})()) === JSON.stringify(first)", arg=first)
    page.keyboard.press("Control+z")
    page.wait_for_function(f"() => JSON.stringify(({_VALUE})()) === '{{}}'")


def test_a_click_that_trembles_places_nothing(page):
    _layout(page, _CAT_DOG)
    x, y = chips.centre(page, "cat")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 1, y)
    page.mouse.up()
    assert page.evaluate(_VALUE) == {}


def test_a_server_that_failed_once_is_asked_again(page):
    _layout(page, _CAT_DOG)
    page.route("**/spatial_steering/describe", lambda route: route.abort())
    _write(page, "a bird above a tree")
    page.locator(".spatial-steering .hint", has_text="could not read").wait_for()
    page.unroute("**/spatial_steering/describe")
    chips.chip(page, "bird").wait_for(timeout=15_000)
    page.errors.clear()


def test_comments_in_a_prompt_are_not_shown_as_they_are_not_sent(page, server):
    _layout(page, "a cat /* to the left of a dog */ above a bus // a bird on the left")
    assert _said(page) == ["cat above bus"] and chips.chip(page, "dog").count() == 0
    assert _run(page, server) == "cat above bus"


def test_objects_that_were_placed_and_come_to_be_related_are_as_they_lie(page, server):
    _layout(page, "a cat, a dog")
    chips.drag(page, "cat", 0.5, 0.1)
    chips.drag(page, "dog", 0.5, 0.9)
    value = page.evaluate(_VALUE)
    # What is sent holds for the prompt, even if it was changed just now.
    _write(page, "a cat to the left of a dog and a bird above a car")

    assert _sent(page) == value
    said = ["cat at the top", "dog at the bottom", "cat above dog", "bird above car"]
    assert sorted(_run(page, server).splitlines()) == sorted(said)
    chips.chip(page, "bird").wait_for()
    overruled = "by hand, in place of the prompt's: cat to the left of dog (Reset follows the prompt)"
    assert sorted(_said(page)) == sorted([*said, overruled])


def test_a_prompt_that_says_another_place_than_the_hand_is_said_to_be_overruled(page):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.95)
    chips.drag(page, "dog", 0.5, 0.05)
    said = ["cat at the bottom", "dog at the top", "cat below dog"]
    assert _said(page) == said, "the hand has just answered the prompt"

    _write(page, "a cat to the right of a dog, a bird above a tree")
    chips.chip(page, "bird").wait_for(timeout=10_000)
    overruled = "by hand, in place of the prompt's: cat to the right of dog (Reset follows the prompt)"
    assert sorted(_said(page)) == sorted([*said, "bird above tree", overruled])
    page.locator('.spatial-steering input[value="Reset"]').click()
    assert _said(page) == ["cat to the right of dog", "bird above tree"]


@pytest.mark.parametrize("type", ["SpatialPrompt", "SceneLayout"])
def test_a_new_canvas_has_room_for_several_objects(page, type):
    _build(page, _CAT_DOG, f"SpatialSteering{type}")
    if type == "SpatialPrompt":
        page.evaluate(
            "text => { app.graph._nodes.find(n => n.type.endsWith('SpatialPrompt')).widgets[0].value = text }", _CAT_DOG
        )
    chips.chip(page, "cat").wait_for()
    assert page.locator(".spatial-steering .field").bounding_box()["height"] > 260


def test_field_grows_with_the_node(page):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.9, 0.9)
    before = page.locator(".spatial-steering .field").bounding_box()

    def resize(size):
        page.evaluate(f"() => {{ {_NODE}.setSize({size}); app.canvas.setDirty(true, true) }}")
        page.wait_for_timeout(500)
        return page.locator(".spatial-steering .field").bounding_box()

    after = resize([600, 740])
    assert after["width"] > before["width"] + 200
    assert after["height"] > before["height"] + 200
    assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.9, 0.9), abs=3)

    least = resize(f"{_NODE}.computeSize()")
    assert least["width"] < before["width"]
    assert page.locator(".spatial-steering").bounding_box()["height"] >= 220
    assert chips.centre(page, "cat") == pytest.approx(chips.at(page, 0.9, 0.9), abs=3)


def test_hints_say_what_is_missing(page):
    _layout(page, _CAT_DOG)
    hint = page.locator(".spatial-steering .hint")
    assert not hint.is_visible()

    _write(page, "")
    hint.wait_for()
    assert "No objects" in hint.inner_text()

    page.evaluate(f"() => {_NODE}.disconnectInput(0)")
    page.wait_for_function("() => document.querySelector('.spatial-steering .hint').textContent.includes('Connect')")


def test_more_objects_than_the_field_holds_are_said(page):
    _build(page, ", ".join(f"a dog{number} above a cat{number}" for number in range(40)))
    page.wait_for_function("() => document.querySelector('.spatial-steering .hint').innerText.includes('more than 64')")

    _write(page, _CAT_DOG)
    chips.chip(page, "cat").wait_for()


def test_prompt_that_is_too_long_is_said(page):
    _build(page, "a cat above a dog. " * 4000)
    page.wait_for_function(
        "() => document.querySelector('.spatial-steering .hint').innerText.includes('50000 letters')"
    )


_CHAIN = """([type, values]) => {
    const [parser, node] = [PARSER, NODE]
    const between = LiteGraph.createNode(type)
    app.graph.add(between)
    for (const [name, value] of Object.entries(values)) between.widgets.find(w => w.name === name).value = value
    const reroute = LiteGraph.createNode('Reroute')
    app.graph.add(reroute)
    parser.connect(1, between, 0)
    between.connect(0, reroute, 0)
    reroute.connect(0, node, 0)
}""".replace("PARSER", _PARSER).replace("NODE", _NODE)
_UPSTREAM = {
    "SpatialSteeringSpatialRelation": (
        {"subject": "Night", "relation": "above", "object": "dog"},
        ["cat to the left of dog", "night above dog"],
    ),
    "SpatialSteeringSpatialRelation at": (
        {"subject": "dog", "relation": "at_top", "object": ""},
        ["dog at the top", "cat to the left of dog"],
    ),
    "SpatialSteeringEditRelations": (
        {
            "edits": {
                "relations": [{"subject": "cat", "relation": "left_of", "object": "dog", "wanted": "below", "on": True}]
            }
        },
        ["cat below dog"],
    ),
}


@pytest.mark.parametrize("type", _UPSTREAM)
def test_relations_of_nodes_between_are_followed(page, type):
    values, said = _UPSTREAM[type]
    _layout(page, "a cat to the left of a dog at night")

    page.evaluate(_CHAIN, [type.split()[0], values])

    page.wait_for_function("said => document.querySelector('.said').innerText === said", arg="\n".join(said))


_SUBGRAPH = f"""() => {{
    const {{ node }} = app.graph.convertToSubgraph(new Set([{_PARSER}]))
    const [parser] = node.subgraph.nodes
    const text = parser.inputs.find(input => input.name === 'text')
    node.subgraph.addInput('text', 'STRING').connect(text, parser)
    node.widgets.find(widget => widget.name === 'text').value = 'a bird below a house'
}}"""


def test_parser_in_a_subgraph_that_shows_its_text(page):
    _layout(page, _CAT_DOG)

    page.evaluate(_SUBGRAPH)

    chips.chip(page, "bird").wait_for()
    assert _said(page) == ["bird below house"]


_LINK = f"""text => {{
    const string = LiteGraph.createNode('StringConcatenate')
    app.graph.add(string)
    string.widgets[0].value = text
    string.connect(0, {_PARSER}, {_PARSER}.inputs.findIndex(input => input.name === 'text'))
}}"""


def test_prompt_that_comes_by_a_link_is_known_after_a_run(page, server):
    _layout(page, _CAT_DOG)

    page.evaluate(_LINK, "a sheep above a bench")
    page.wait_for_function("() => document.querySelector('.spatial-steering .hint').textContent.includes('Run')")
    _run(page, server)

    chips.chip(page, "sheep").wait_for()
    assert _said(page) == ["sheep above bench"]


_HOLDER = f"""([type, text]) => {{
    const holder = LiteGraph.createNode(type), reroute = LiteGraph.createNode('Reroute')
    app.graph.add(holder)
    app.graph.add(reroute)
    const input = {_PARSER}.inputs.findIndex(input => input.name === 'text')
    if (type === 'PrimitiveNode') holder.connect(0, {_PARSER}, input)
    else {{
        holder.connect(0, reroute, 0)
        reroute.connect(0, {_PARSER}, input)
    }}
    holder.widgets[0].value = text
}}"""


@pytest.mark.parametrize("type", ["PrimitiveString", "PrimitiveStringMultiline", "PrimitiveNode"])
def test_prompt_of_a_node_that_only_holds_a_text_is_known_before_a_run(page, server, type):
    _layout(page, _CAT_DOG)
    page.evaluate(_HOLDER, [type, "a sheep above a bench"])

    chips.chip(page, "sheep").wait_for()
    assert _said(page) == ["sheep above bench"]
    assert _run(page, server) == "sheep above bench"


def _edits(page, prompt):
    _build(page, prompt, "SpatialSteeringEditRelations")
    page.locator(".spatial-steering .row").first.wait_for()


def test_switched_off_and_changed_relations_are_edits(page):
    _edits(page, "a cat to the left of a dog and a clock above a tree")
    assert page.evaluate(_VALUE) == {}
    first, second = page.locator(".spatial-steering .row").all()

    first.locator("input").uncheck()
    second.locator("select").select_option(label="next to")
    off = {"subject": "cat", "relation": "left_of", "object": "dog", "wanted": "left_of", "on": False}
    near = {"subject": "clock", "relation": "above", "object": "tree", "wanted": "near", "on": True}
    assert page.evaluate(_VALUE) == {"relations": [off, near]}

    saved = page.evaluate("() => app.graph.serialize()")
    page.evaluate("graph => app.loadGraphData(graph)", saved)
    page.locator(".spatial-steering .row.off").wait_for()
    first, second = page.locator(".spatial-steering .row").all()
    assert second.locator("select").input_value() == "near"

    first.locator("input").check()
    assert page.evaluate(_VALUE) == {"relations": [near]}
    _write(page, _CAT_DOG)
    page.wait_for_function("() => document.querySelectorAll('.row').length === 1")
    assert page.evaluate(_VALUE) == {"relations": [near]}, "the prompt may be half written"
    page.locator(".spatial-steering .row input").uncheck()
    assert page.evaluate(_VALUE) == {"relations": [off]}


def _run(page, server):
    """Queue the graph; returns what the preview shows of the summary."""
    known = set(server.get("/history"))
    page.evaluate("() => app.queuePrompt(0)")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if new := set(server.get("/history")) - known:
            (done,) = (server.get("/history")[name] for name in new)
            assert done["status"]["status_str"] == "success", done["status"]
            return next(output["text"][0] for output in done["outputs"].values() if "text" in output)
        time.sleep(0.2)
    raise TimeoutError("nothing was run")


def test_places_are_edited_among_places(page, server):
    _edits(page, "a cat on the left, a dog above a tree")
    first, second = page.locator(".spatial-steering .row").all()
    assert first.inner_text().split() == ["cat", *first.locator("select").inner_text().split()]
    assert "on the right" in first.inner_text() and "next to" not in first.inner_text()
    assert "next to" in second.inner_text() and "on the right" not in second.inner_text()

    first.locator("select").select_option(label="at the bottom")
    wanted = {"subject": "cat", "relation": "at_left", "object": None, "wanted": "at_bottom", "on": True}
    assert page.evaluate(_VALUE) == {"relations": [wanted]}

    assert _run(page, server).splitlines() == ["cat at the bottom", "dog above tree"]


def test_places_of_the_prompt_stay_beside_a_layout(page, server):
    _layout(page, "a cat in the upper right corner, a dog to the left of a bird, a tree in the center")
    (x, y), (right, top) = chips.centre(page, "cat"), chips.at(page, 0.7, 0.3)
    assert x > right and y < top
    assert chips.centre(page, "tree") == pytest.approx(chips.at(page, 0.5, 0.5), abs=2)
    places = ["cat in the upper right corner", "tree in the center"]
    assert _said(page) == [*places, "dog to the left of bird"]

    chips.drag(page, "dog", 0.5, 0.05)
    chips.drag(page, "bird", 0.5, 0.95)
    asked = [*places, "dog at the top", "bird at the bottom", "dog above bird"]
    assert _said(page) == asked and _relations(page) == [("dog", "above", "bird")]

    assert _run(page, server).splitlines() == asked


def test_run_steers_by_the_layout(page, server):
    _layout(page, _CAT_DOG)
    chips.drag(page, "cat", 0.5, 0.05)
    chips.drag(page, "dog", 0.5, 0.95)

    summary = _run(page, server)

    assert "cat above dog" in summary
    assert "left" not in summary


def test_run_steers_by_the_edits(page, server):
    _edits(page, "a cat to the left of a dog and a clock above a tree")
    first, second = page.locator(".spatial-steering .row").all()
    first.locator("input").uncheck()
    second.locator("select").select_option("below")

    summary = _run(page, server)

    assert "clock below tree" in summary
    assert "cat" not in summary
