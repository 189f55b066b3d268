"""The short way in, in the real front end: what nodes say on themselves, what is found, and what is folded away."""

from __future__ import annotations

import json
import time
from pathlib import Path

import canvas
import chips
import pytest
from graphs import ADD, EMPTY_GRAPH

pytestmark = pytest.mark.usefixtures("no_errors")
PACK = Path(__file__).resolve().parents[2]
BLUEPRINT = "Place Objects by Prompt (Composition, Position)"
_BUILD = (
    """prompt => {"""
    + EMPTY_GRAPH
    + """
    const model = add('SpatialSteeringLoadMiniatureModel', 0, 0)
    const parser = add('SpatialSteeringRelationParser', 0, 200)
    const guided = add('FluxGuidance', 350, 300)
    const sampler = add('SpatialSteeringSteeredKSampler', 650, 0)
    const apply = add('SpatialSteeringApplySpatialSteering', 350, 0)
    model.connect(1, parser, 0)
    parser.connect(0, guided, 0)
    guided.connect(0, sampler, sampler.inputs.findIndex(input => input.name === 'positive'))
    model.connect(0, apply, 0)
    parser.widgets[0].value = prompt
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [150, 150]
    app.canvas.setDirty(true, true)
}"""
)
_EDITED = "() => [...document.querySelectorAll('.spatial-steering .row select')].map(({ value }) => value)"
_SAID = """type => app.graph._nodes.find(node => node.type === type)
    .widgets.find(widget => widget.name === 'reading').element.textContent"""
_PARSER, _SAMPLER, _APPLY = (
    f"SpatialSteering{name}" for name in ("RelationParser", "SteeredKSampler", "ApplySpatialSteering")
)
_ROWS = """() => [...document.querySelectorAll('[data-testid=result-item]')]
    .slice(0, 3).map(row => row.innerText.split('\\n')[0])"""
_ADVANCED = """type => LiteGraph.createNode(type).widgets
    .filter(widget => widget.options?.advanced).map(widget => widget.name)"""


def _build(page, prompt):
    page.evaluate(_BUILD, prompt)


def _says(page, type, words):
    page.wait_for_function(f"([type, words]) => ({_SAID})(type).includes(words)", arg=[type, words])


def _search_box(page):
    """The search box, open over an empty graph."""
    page.evaluate("() => app.graph.clear()")
    box = page.get_by_placeholder("Add a node...")
    for _ in range(20):
        page.keyboard.press("Escape")
        page.mouse.dblclick(1000, 600)
        page.wait_for_timeout(1500)
        if box.is_visible():
            return box
    pytest.fail("The search box did not open.")


def test_parser_and_sampler_say_what_is_read_before_anything_runs(page):
    _build(page, canvas.CAT_DOG)
    for node in (_PARSER, _SAMPLER):
        _says(page, node, "cat to the left of dog")
    page.evaluate("() => { app.graph._nodes.find(n => n.widgets?.[0].name === 'text').widgets[0].value = 'a cat' }")
    # A node after the parser could still say where things are.
    _says(page, _PARSER, "No relation in the words of the prompt")
    _says(page, _SAMPLER, "Nothing to steer")


def test_depth_is_said_to_be_read_where_nothing_else_is(page):
    _build(page, "a cat in front of a dog")
    _says(page, _PARSER, "read, but not steered: cat in front of dog")
    _says(page, _SAMPLER, "Nothing to steer. Read, but not steered: cat in front of dog")


def test_depth_is_said_to_be_read_beside_what_is_steered(page):
    _build(page, "a cat in front of a dog, and a bird above a car")
    for node in (_PARSER, _SAMPLER):
        _says(page, node, "bird above car · read, but not steered: cat in front of dog")


def test_a_node_to_which_nothing_is_connected_says_what_to_connect(page):
    _build(page, canvas.CAT_DOG)
    _says(page, _APPLY, "positive conditioning")
    page.evaluate("type => app.graph._nodes.find(n => n.type === type).connect(1, app.graph._nodes.at(-1), 1)", _PARSER)
    _says(page, _APPLY, "cat to the left of dog")
    page.evaluate("() => app.graph.remove(app.graph._nodes.find(n => n.type === 'FluxGuidance'))")
    _says(page, _SAMPLER, "connect positive")


def test_a_node_that_is_bypassed_or_muted_does_not_say_that_it_steers(page):
    _build(page, canvas.CAT_DOG)
    _says(page, _SAMPLER, "cat to the left of dog")
    for mode in (4, 2):
        page.evaluate("([type, mode]) => { app.graph._nodes.find(n => n.type === type).mode = mode }", [_SAMPLER, mode])
        _says(page, _SAMPLER, "bypassed or muted: it steers nothing")
        page.evaluate("type => { app.graph._nodes.find(n => n.type === type).mode = 0 }", _SAMPLER)
        _says(page, _SAMPLER, "cat to the left of dog")


#: From the parser through Spatial Relation and Edit Relations to Apply Spatial Steering.
_CHAIN = (
    """() => {"""
    + ADD
    + """
    const find = type => app.graph._nodes.find(node => node.type === type)
    const [parser, apply] = [find('SpatialSteeringRelationParser'), find('SpatialSteeringApplySpatialSteering')]
    const between = add('SpatialSteeringSpatialRelation', 0, 600)
    const edit = add('SpatialSteeringEditRelations', 700, 500)
    for (const [name, value] of [['subject', 'dog'], ['relation', 'at_top']])
        between.widgets.find(widget => widget.name === name).value = value
    between.title = 'My Relation'
    parser.connect(1, between, 0)
    between.connect(0, edit, 0)
    edit.connect(0, apply, apply.inputs.findIndex(input => input.name === 'relations'))
}"""
)
_SET_MODE = "([type, mode]) => { app.graph._nodes.find(node => node.type === type).mode = mode }"
_PAST_EDIT = """() => {
    const find = type => app.graph._nodes.find(node => node.type.endsWith(type))
    const [relation, apply] = [find('SpatialRelation'), find('ApplySpatialSteering')]
    relation.connect(0, apply, apply.inputs.findIndex(input => input.name === 'relations'))
}"""


def test_a_node_through_which_no_relations_come_is_named_where_they_are_missing(page):
    _build(page, canvas.CAT_DOG)
    page.evaluate(_CHAIN)
    relation = "SpatialSteeringSpatialRelation"
    hint = page.locator(".spatial-steering .hint")
    _says(page, _APPLY, "dog at the top")

    page.evaluate(_SET_MODE, [relation, 2])
    muted = "“My Relation” is bypassed or muted: no relations come through it."
    _says(page, _APPLY, muted)
    hint.get_by_text(muted).wait_for()
    assert page.evaluate(_SAID, _APPLY) == muted, "such a run is refused: Edit Relations needs relations"
    page.evaluate(_PAST_EDIT)
    _says(page, _APPLY, f"{muted} · Steers what the prompt of the sampler's positive conditioning says.")

    page.evaluate(_SET_MODE, [relation, 4])
    _says(page, _APPLY, "cat to the left of dog")
    hint.wait_for(state="hidden")
    page.evaluate(_SET_MODE, [_PARSER, 4])
    _says(page, _APPLY, "“Spatial Relation Parser” is bypassed or muted")
    hint.get_by_text("“Spatial Relation Parser” is bypassed or muted").wait_for()


_ALL_SEEN = """type => {
    const said = app.graph._nodes.find(node => node.type === type)
        .widgets.find(widget => widget.name === 'reading').element.querySelector('p')
    return said.clientHeight > 20 && said.scrollHeight <= said.clientHeight
}"""


@pytest.mark.parametrize("prompt", ["a cat to the left of a dog, and a bird above a car", "a cat"])
def test_two_relations_and_what_to_do_without_one_are_seen_whole(page, prompt):
    _build(page, prompt)
    _says(page, _PARSER, "bird above car" if "bird" in prompt else "No relation in the words")
    _says(page, _APPLY, "positive conditioning")
    for node in (_PARSER, _APPLY):
        page.wait_for_function(_ALL_SEEN, arg=node)


def test_relations_that_are_made_of_boxes_are_not_said_to_be_missing(page):
    _build(page, canvas.CAT_DOG)
    page.evaluate(
        """([parser, sampler]) => {
        const find = type => app.graph._nodes.find(node => node.type === type)
        const boxes = LiteGraph.createNode('SpatialSteeringBoundingBoxesToPlaces')
        app.graph.add(boxes)
        find(parser).connect(1, boxes, 0)
        boxes.connect(0, find(sampler), find(sampler).inputs.findIndex(input => input.name === 'relations'))
    }""",
        [_PARSER, _SAMPLER],
    )
    _says(page, _SAMPLER, "when it runs")


def test_what_is_said_is_no_value_of_the_node(page):
    _build(page, canvas.CAT_DOG)
    _says(page, _PARSER, "cat to the left of dog")
    saved = page.evaluate("type => app.graph._nodes.find(n => n.type === type).serialize().widgets_values", _PARSER)
    sent = page.evaluate("async () => (await app.graphToPrompt()).output")
    (inputs,) = (node["inputs"] for node in sent.values() if node["class_type"] == _PARSER)
    assert saved == [canvas.CAT_DOG] and set(inputs) == {"clip", "text"}


def test_a_prompt_that_would_be_markup_is_said_as_text(page):
    _build(page, 'a <img src=x onerror="window.harmed=1">cat to the left of a dog')
    _says(page, _PARSER, "left of dog")
    images = "() => [window.harmed, document.querySelectorAll('.spatial-steering-reading img').length]"
    assert page.evaluate(images) == [None, 0]


def test_the_canvas_of_spatial_prompt_shows_its_own_prompt_and_edit_relations_what_it_makes_of_it(page):
    page.evaluate(
        """prompt => {
        app.graph.clear()
        const node = LiteGraph.createNode('SpatialSteeringSpatialPrompt')
        const edit = LiteGraph.createNode('SpatialSteeringEditRelations')
        app.graph.add(node)
        app.graph.add(edit)
        edit.pos = [600, 0]
        node.connect(3, edit, 0)
        node.widgets[0].value = prompt
    }""",
        canvas.CAT_DOG,
    )
    said = page.locator(".spatial-steering .said")
    said.filter(has_text="cat to the left of dog").wait_for()
    edited = page.locator(".spatial-steering .row select")
    edited.wait_for()
    assert edited.input_value() == "left_of"
    cat = chips.chip(page, "cat")
    for _ in range(12):
        cat.press("Shift+ArrowRight")
    said.filter(has_text="cat to the right of dog").wait_for()
    # What was moved has a place of its own, beside the relation.
    page.wait_for_function(f'() => JSON.stringify(({_EDITED})()) === \'["at_right","right_of"]\'')
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (inputs,) = (node["inputs"] for node in prompt.values() if node["class_type"].endswith("SpatialPrompt"))
    assert inputs["layout"]["relations"] == [[0, "at_right", None], [0, "right_of", 1]]


@pytest.mark.parametrize(
    ("node", "folded"),
    [
        ("SpatialSteeringSpatialPrompt", ["update"]),
        (_SAMPLER, ["update.refinements", "update.target", "start_percent", "order"]),
        (
            "SpatialSteeringSteeringSchedule",
            [
                *("preset.update.refinements", "preset.update.target", "preset.start_percent", "preset.decay"),
                *("order", "restarts", "restart_overlap"),
            ],
        ),
        (
            "SpatialSteeringCentroidLoss",
            ["function.alpha", "orthogonal", "presence_weight", "balance_weight", "softmax_over"],
        ),
    ],
)
def test_formulas_are_folded_away(page, node, folded):
    assert page.evaluate(_ADVANCED, node) == folded


@pytest.mark.parametrize(
    "words",
    [
        "where",
        "position",
        "composition",
        "place",
        "place objects",
        "regional",
        "layout",
        "above",
        "spatial",
        "relation",
        "drag objects",
        "canvas",
        "area",
        "bounding box",
    ],
)
def test_an_artists_words_find_the_pack_in_the_first_three_rows(page, server, words):
    ours = {node["display_name"] for name, node in server.get("/object_info").items() if "SpatialSteering" in name}
    box = _search_box(page)
    found = []
    deadline = time.monotonic() + 60
    while not ours.union({BLUEPRINT}).intersection(found) and time.monotonic() < deadline:
        box.fill("")  # blueprints come after the page is there, and what was found before lacks them
        box.fill(words)
        page.wait_for_timeout(1500)
        found = page.evaluate(_ROWS)
    assert ours.union({BLUEPRINT}).intersection(found), found
    page.keyboard.press("Escape")
    box.wait_for(state="detached")


def test_the_blueprint_is_a_whole_graph_that_runs(page, server):
    """Placed from the search box, connected to a model, with a prompt: five things to do."""
    listed = server.get("/global_subgraphs").values()
    assert BLUEPRINT in {entry["name"] for entry in listed if entry["source"] == "custom_node"}
    box = _search_box(page)
    box.fill("place objects by prompt")
    page.get_by_test_id("result-item").filter(has_text=BLUEPRINT).first.wait_for()
    box.press("Enter")
    page.mouse.click(700, 300)
    page.wait_for_function("() => app.graph._nodes[0]?.isSubgraphNode?.()")
    page.evaluate(
        """() => {
        const [host] = app.graph._nodes
        const add = type => {
            const node = LiteGraph.createNode(type)
            app.graph.add(node)
            return node
        }
        const model = add('SpatialSteeringLoadMiniatureModel')
        const shown = add('PreviewImage')
        for (const slot of [0, 1, 2]) model.connect(slot, host, slot)
        host.connect(0, shown, 0)
        const values = {text: 'a giraffe above an airplane', width: 128, height: 128, steps: 4}
        for (const [name, value] of Object.entries(values)) host.widgets.find(w => w.name === name).value = value
    }"""
    )
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => app.graph._nodes.find(n => n.type === 'PreviewImage').imgs?.length === 1")


def test_the_blueprint_holds_the_defaults_of_spatial_prompt(server):
    (file,) = (PACK / "subgraphs").glob("*.json")
    assert file.stem == BLUEPRINT
    (subgraph,) = json.loads(file.read_text())["definitions"]["subgraphs"]
    (prompt,) = (node for node in subgraph["nodes"] if node["type"] == "SpatialSteeringSpatialPrompt")
    (schema,) = server.get(f"/object_info/{prompt['type']}").values()
    for name in ("strength", "how_long", "spacing"):
        assert prompt["widgets_values_named"][name] == schema["input"]["required"][name][1]["default"]


def test_an_existing_template_needs_one_node_more_and_one_wire_moved(page):
    """In core's own text-to-image graph Spatial Prompt takes the place of the prompt, and the model goes through it."""
    template = {
        "model": ["CheckpointLoaderSimple", []],
        "negative": ["CLIPTextEncode", [["model", 1, 0]]],
        "latent": ["EmptyLatentImage", []],
        "sampler": ["KSampler", [["model", 0, 0], ["negative", 0, 2], ["latent", 0, 3]]],
    }
    prompt = page.evaluate(
        """async template => {
        app.graph.clear()
        const made = {}
        for (const [name, [type, links]] of Object.entries(template)) {
            app.graph.add(made[name] = LiteGraph.createNode(type))
            for (const [from, slot, input] of links) made[from].connect(slot, made[name], input)
        }
        const node = LiteGraph.createNode('SpatialSteeringSpatialPrompt')
        app.graph.add(node)
        made.model.connect(0, node, 0)
        made.model.connect(1, node, 1)
        node.connect(0, made.sampler, 0)
        node.connect(1, made.sampler, 1)
        return (await app.graphToPrompt()).output
    }""",
        template,
    )
    (sampler,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "KSampler")
    assert sampler["model"][0] == sampler["positive"][0]
    assert prompt[sampler["model"][0]]["class_type"] == "SpatialSteeringSpatialPrompt"


def test_a_released_workflow_keeps_its_wires_where_inputs_have_become_optional(page):
    released = Path(__file__).parent / "released" / "0.1.0" / "first_steps.json"
    page.evaluate("graph => app.loadGraphData(graph)", json.loads(released.read_text()))
    page.wait_for_function("type => app.graph._nodes.some(node => node.type === type)", arg=_SAMPLER)
    sent = page.evaluate("async () => (await app.graphToPrompt()).output")
    (inputs,) = (node["inputs"] for node in sent.values() if node["class_type"] == _SAMPLER)
    sources = {name: sent[inputs[name][0]]["class_type"] for name in ("relations", "steering_loss", "positive")}
    assert sources == {
        "relations": _PARSER,
        "steering_loss": "SpatialSteeringCentroidLoss",
        "positive": _PARSER,
    }
