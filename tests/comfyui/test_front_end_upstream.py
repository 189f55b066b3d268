"""Where the canvas finds its prompt and relations in the graph before it, in the real front end."""

from __future__ import annotations

import canvas
import chips
import pytest

pytestmark = pytest.mark.usefixtures("no_errors")
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
}""".replace("PARSER", canvas.PARSER).replace("NODE", canvas.NODE)

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
    canvas.show(page, "a cat to the left of a dog at night")

    page.evaluate(_CHAIN, [type.split()[0], values])

    page.wait_for_function("said => document.querySelector('.said').innerText === said", arg="\n".join(said))


_SUBGRAPH = f"""() => {{
    const {{ node }} = app.graph.convertToSubgraph(new Set([{canvas.PARSER}]))
    const [parser] = node.subgraph.nodes
    const text = parser.inputs.find(input => input.name === 'text')
    node.subgraph.addInput('text', 'STRING').connect(text, parser)
    node.widgets.find(widget => widget.name === 'text').value = 'a bird below a house'
}}"""


def test_parser_in_a_subgraph_that_shows_its_text(page):
    canvas.show(page, canvas.CAT_DOG)

    page.evaluate(_SUBGRAPH)

    chips.chip(page, "bird").wait_for()
    assert canvas.said(page) == ["bird below house"]


LINK = f"""text => {{
    const string = LiteGraph.createNode('StringConcatenate')
    app.graph.add(string)
    string.widgets[0].value = text
    string.connect(0, {canvas.PARSER}, {canvas.PARSER}.inputs.findIndex(input => input.name === 'text'))
}}"""


def test_prompt_that_comes_by_a_link_is_known_after_a_run(page, server):
    canvas.show(page, canvas.CAT_DOG)

    page.evaluate(LINK, "a sheep above a bench")
    page.wait_for_function("() => document.querySelector('.spatial-steering .hint').textContent.includes('Run')")
    canvas.run(page, server)

    chips.chip(page, "sheep").wait_for()
    assert canvas.said(page) == ["sheep above bench"]


_HOLDER = f"""([type, text]) => {{
    const holder = LiteGraph.createNode(type), reroute = LiteGraph.createNode('Reroute')
    app.graph.add(holder)
    app.graph.add(reroute)
    const input = {canvas.PARSER}.inputs.findIndex(input => input.name === 'text')
    if (type === 'PrimitiveNode') holder.connect(0, {canvas.PARSER}, input)
    else {{
        holder.connect(0, reroute, 0)
        reroute.connect(0, {canvas.PARSER}, input)
    }}
    holder.widgets[0].value = text
}}"""


@pytest.mark.parametrize("type", ["PrimitiveString", "PrimitiveStringMultiline", "PrimitiveNode"])
def test_prompt_of_a_node_that_only_holds_a_text_is_known_before_a_run(page, server, type):
    canvas.show(page, canvas.CAT_DOG)
    page.evaluate(_HOLDER, [type, "a sheep above a bench"])

    chips.chip(page, "sheep").wait_for()
    assert canvas.said(page) == ["sheep above bench"]
    assert canvas.run(page, server) == "sheep above bench"
