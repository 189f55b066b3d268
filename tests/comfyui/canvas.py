"""A graph with the canvas in a headless browser: built, read, and run."""

from __future__ import annotations

import time

from graphs import EMPTY_GRAPH

CAT_DOG = "a cat to the left of a dog"
#: In JavaScript, the node with the widget, of Scene Layout or Edit Relations, and the parser before it.
NODE = (
    "app.graph._nodes.find(node => ['SpatialSteeringSceneLayout', 'SpatialSteeringEditRelations'].includes(node.type))"
)
PARSER = "app.graph._nodes.find(node => node.type === 'SpatialSteeringRelationParser')"
#: A function in JavaScript that returns the widget's value.
VALUE = f"() => JSON.parse({NODE}.serialize().widgets_values[0])"
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


def build(page, prompt, type="SpatialSteeringSceneLayout"):
    """A new graph of a parser, a node with the widget, and a preview of its summary."""
    page.evaluate(_BUILD, [prompt, type])
    page.locator(".spatial-steering").wait_for()


def show(page, prompt):
    """A new graph, whose canvas shows the objects of a prompt."""
    build(page, prompt)
    page.locator(".spatial-steering .chip").first.wait_for()


def write(page, prompt):
    """Put another prompt into the parser."""
    page.evaluate(f"text => {{ {PARSER}.widgets.find(widget => widget.name === 'text').value = text }}", prompt)


def wait_for_value(page, value):
    """Until the canvas holds this."""
    page.wait_for_function(f"value => JSON.stringify(({VALUE})()) === JSON.stringify(value)", arg=value)


def value(page):
    """What the widget holds."""
    return page.evaluate(VALUE)


def said(page):
    """The lines under the field."""
    return page.locator(".spatial-steering .said").inner_text().splitlines()


def relations(page):
    """The relations of the layout's value, by names."""
    held = value(page)
    names = [placed["name"] for placed in held["objects"]]
    return [(names[a], relation, names[b]) for a, relation, b in held["relations"] if b is not None]


def given(page):
    """By name the places in the picture that the layout's value gives."""
    held = value(page)
    return {held["objects"][a]["name"]: place for a, place, b in held["relations"] if b is None}


def places(page):
    """By name where the objects of the layout's value stand, (x, y) in [0, 1]."""
    return {placed["name"]: (placed["x"], placed["y"]) for placed in value(page)["objects"]}


def run(page, server):
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
