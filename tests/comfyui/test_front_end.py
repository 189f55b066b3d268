"""The example workflows in the real front end, in a headless browser."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

_RELEASED = Path(__file__).parent / "released"
WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / "example_workflows").glob("*.json"))
_FIRST_STEPS, _FIVE_OBJECTS = (
    next(file for file in WORKFLOWS if file.stem == name) for name in ("01 First steps", "04 Five objects")
)
_MISSING = "() => app.graph._nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type)"
_WIDGETS = """() => Object.fromEntries(app.graph._nodes.filter(n => n.widgets).map(
    n => [n.id, n.widgets.filter(w => w.name && w.serialize !== false).map(w => [w.name, w.value])]))"""
_NOT_AMONG_OPTIONS = """() => app.graph._nodes.flatMap(n => (n.widgets ?? []).filter(w =>
    Array.isArray(w.options?.values) && w.value != null && !w.options.values.includes(w.value)).map(w => w.value))"""
#: The folder of models and the widget with the name of a file in it, of the nodes that load one.
_LOADERS = {
    "CheckpointLoaderSimple": ("checkpoints", "ckpt_name"),
    "UNETLoader": ("diffusion_models", "unet_name"),
    "CLIPLoader": ("text_encoders", "clip_name"),
    "VAELoader": ("vae", "vae_name"),
    "LoraLoaderModelOnly": ("loras", "lora_name"),
}
_CHOOSE = """([type, name, value]) => {
    const node = app.graph._nodes.find(n => n.type === type)
    const widget = node.widgets.find(w => w.name === name)
    widget.value = value
    widget.callback?.(value, app.canvas, node)
    return node.widgets.map(w => w.name)
}"""
_PROMPT = "async () => (await app.graphToPrompt()).output"
_SET_MODE = """([type, mode]) => { app.graph._nodes.find(node => node.type === type).mode = mode }"""
_SET = "([name, value]) => app.extensionManager.setting.set(name, value)"
#: Of each node its id, and its box with the title, in the canvas's units, as the renderer in use draws it.
_BOXES = """async nodes2 => {
    const drawn = nodes2 ? document : null
    const { scale, offset } = app.canvas.ds
    return app.graph._nodes.map(node => {
        if (!drawn) {
            node.updateArea(app.canvas.ctx)
            return [node.id, [...node.boundingRect]]
        }
        const box = drawn.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect()
        const place = [box.left / scale - offset[0], box.top / scale - offset[1]]
        return [node.id, [...place, box.width / scale, box.height / scale]]
    })
}"""
_ALL_DRAWN = '() => app.graph._nodes.every(node => document.querySelector(`[data-node-id="${node.id}"]`))'
_COLOURS = """types => types.map(type => [
    LGraphCanvas.link_type_colors[type],
    app.canvas.default_connection_color_byType[type],
    getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`),
])"""
_PICTURES = "() => app.graph._nodes.filter(n => n.type === 'SaveImage').map(n => n.imgs?.length ?? 0)"


@pytest.fixture(scope="module", autouse=True)
def files(server):
    """Empty files of the names that the workflows ask for: the front end wants no more than to find them listed."""
    made = []
    for workflow in WORKFLOWS:
        for node in json.loads(workflow.read_text())["nodes"]:
            folder, widget = _LOADERS.get(node["type"], (None, None))
            if folder and (name := node["widgets_values_named"][widget]):
                made.append(server.output.parent / "models" / folder / name)
                made[-1].parent.mkdir(parents=True, exist_ok=True)
                made[-1].touch()
    yield
    for file in made:
        file.unlink(missing_ok=True)


def _open(page, workflow: Path) -> dict:
    page.errors.clear()
    graph = json.loads(workflow.read_text())
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function(f"() => app.graph._nodes.length === {len(graph['nodes'])}")
    return graph


@pytest.mark.parametrize(
    "workflow",
    [*WORKFLOWS, *sorted(_RELEASED.rglob("*.json"))],
    ids=lambda file: f"{file.parent.name}-{file.stem}",
)
def test_workflow_opens_without_a_missing_node_or_widget_error(page, workflow):
    graph = _open(page, workflow)

    assert page.evaluate(_MISSING) == []
    assert page.evaluate(_NOT_AMONG_OPTIONS) == []
    shown = page.evaluate(_WIDGETS)
    for node in graph["nodes"]:
        if node["type"].startswith("SpatialSteering") and "widgets_values" in node:
            values = [value for _, value in shown[str(node["id"])]]
            if _RELEASED in workflow.parents:  # before the last widgets of some nodes were there
                values = values[: len(node["widgets_values"])]
            assert values == node["widgets_values"], node["type"]
    assert page.errors == []


def _hidden(boxes) -> list[tuple[str, str]]:
    """Pairs of nodes of which one lies on the other."""
    return [
        (one, other)
        for (one, (x, y, width, height)), (other, (to_x, to_y, to_width, to_height)) in itertools.combinations(boxes, 2)
        if x < to_x + to_width and to_x < x + width and y < to_y + to_height and to_y < y + height
    ]


def _holds(group, box) -> bool:
    (left, top, across, down), (x, y, width, height) = group, box
    return left <= x and top <= y and x + width <= left + across and y + height <= top + down


@pytest.fixture(params=[False, True], ids=["canvas", "nodes_2.0"])
def nodes2(request, page):
    """Whether nodes are drawn by Nodes 2.0: elements of HTML, larger than on the canvas."""
    page.evaluate(_SET, ["Comfy.VueNodes.Enabled", request.param])
    yield request.param
    page.evaluate(_SET, ["Comfy.VueNodes.Enabled", False])  # other tests of the page know the canvas


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_no_node_hides_another(page, nodes2, workflow):
    _open(page, workflow)
    if nodes2:
        page.wait_for_function(_ALL_DRAWN)
    # Nodes of HTML grow to their contents over the next frames.
    page.wait_for_timeout(1000 if nodes2 else 100)
    boxes = page.evaluate(_BOXES, nodes2)

    assert len(boxes) == len(json.loads(workflow.read_text())["nodes"])
    assert all(width > 100 and height > 30 for _, (_, _, width, height) in boxes)
    assert _hidden(boxes) == []
    groups = [group["bounding"] for group in json.loads(workflow.read_text())["groups"]]
    assert [sum(_holds(group, box) for group in groups) for _, box in boxes] == [1] * len(boxes)
    assert page.errors == []


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_the_types_of_the_pack_have_colours_of_their_own(page, server, palette):
    ours = [node for node in server.get("/object_info").values() if node["category"] == "Spatial Steering"]
    slots = {kind for node in ours for kind in node["output"]}
    types = sorted(kind for kind in slots if kind.startswith(("RELATION", "SPATIAL_", "STEERING_")))
    assert len(types) == 7

    page.evaluate(_SET, ["Comfy.ColorPalette", palette])
    page.wait_for_timeout(500)
    colours = page.evaluate(_COLOURS, types)
    page.evaluate(_SET, ["Comfy.ColorPalette", "dark"])

    assert all(link and link == slot == html.strip() for link, slot, html in colours), colours
    assert len({link for link, _, _ in colours}) == len(types)


def test_only_the_inputs_that_the_choice_uses_are_shown(page):
    _open(page, _FIVE_OBJECTS)

    def shown(name, value):
        return page.evaluate(_CHOOSE, ["SpatialSteeringCentroidLoss", name, value])

    assert "function.leaky_slope" in shown("function", "leaky_relu")
    assert "function.leaky_slope" not in shown("function", "gelu")
    assert "orthogonal.orthogonal_weight" in shown("orthogonal", "l1")
    assert "orthogonal.orthogonal_weight" not in shown("orthogonal", "none")


def test_run_shows_the_pictures(page):
    _open(page, _FIRST_STEPS)
    page.get_by_test_id("queue-button").click()
    page.wait_for_function(f"() => ({_PICTURES})().every(count => count === 4)")
    assert page.errors == []


def test_a_preset_sets_the_inputs_and_leaves_them_to_be_changed(page):
    _open(page, _FIVE_OBJECTS)

    def schedule():
        (node,) = (node for node in page.evaluate(_PROMPT).values() if node["class_type"].endswith("SteeringSchedule"))
        return node["inputs"]

    balanced = schedule()
    page.evaluate(_CHOOSE, ["SpatialSteeringSteeringSchedule", "preset", "gentle"])
    gentle = schedule()
    assert (gentle["preset.update"], gentle["preset.update.strength"]) == ("automatic", 0.5)
    assert gentle["preset.end_percent"] < balanced["preset.end_percent"]
    page.evaluate(_CHOOSE, ["SpatialSteeringSteeringSchedule", "preset.end_percent", 0.37])
    assert schedule()["preset.end_percent"] == 0.37


@pytest.mark.parametrize("mode", [2, 4], ids=["muted", "bypassed"])
def test_a_node_that_is_muted_or_bypassed_steers_nothing(page, mode):
    _open(page, _FIVE_OBJECTS)
    page.evaluate(_SET_MODE, ["SpatialSteeringApplySpatialSteering", mode])
    prompt = page.evaluate(_PROMPT)

    assert "SpatialSteeringApplySpatialSteering" not in {node["class_type"] for node in prompt.values()}
    (sampler,) = (node for node in prompt.values() if node["class_type"] == "KSampler")
    if mode == 2:  # as with core's nodes, what hangs on a muted node lacks an input
        assert "model" not in sampler["inputs"]
    else:
        source, slot = sampler["inputs"]["model"]
        assert prompt[source]["class_type"] == "SpatialSteeringLoadMiniatureModel" and slot == 0


def test_templates_are_listed_under_the_name_of_the_pack(server):
    (listed,) = server.get("/workflow_templates").values()
    assert set(listed) == {file.stem for file in WORKFLOWS}
