"""What an artist does first, step by step in the real front end: a first picture, an app, and a template steered."""

from __future__ import annotations

import json
from pathlib import Path

import chips
import numpy as np
import pytest
import torch
from graphs import ABOVE, core_node, graph, pack_node, sampler_node
from PIL import Image

from steering_core.miniature.look import look_at
from steering_core.relations.relation import Relation

pytestmark = pytest.mark.usefixtures("no_errors")
_EXAMPLES = Path(__file__).resolve().parents[2] / "example_workflows"
_SHORTEST = "00 Spatial Prompt"
_PROMPT = "async () => (await app.graphToPrompt()).output"
_EMPTY = """() => {
    app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)
    app.graph.clear()
}"""
_SAVED = "() => app.graph._nodes.find(node => node.type === 'SaveImage')?.imgs?.length ?? 0"
#: In the graph of these nodes: Spatial Prompt beside the prompt that is there, with the same text, and the model
#: through it. Nothing else is touched. Returns how many wires the sampler had changed.
_STEER = """([sampler, encoder]) => {
    const before = sampler.inputs.map(input => input.link)
    const node = LiteGraph.createNode('SpatialSteeringSpatialPrompt')
    sampler.graph.add(node)
    const slot = (one, name) => one.inputs.findIndex(input => input.name === name)
    const from = (one, name) => {
        const link = one.graph.getLink(one.inputs[slot(one, name)].link)
        return [link.originIsIoNode ? null : one.graph.getNodeById(link.origin_id), link.origin_slot]
    }
    for (const [one, name] of [[sampler, 'model'], [encoder, 'clip']]) {
        const [source, at] = from(one, name)
        source.connect(at, node, slot(node, name))
    }
    const text = encoder.inputs[slot(encoder, 'text')]
    if (text?.link != null) {
        const [source, at] = from(encoder, 'text')
        if (source) source.connect(at, node, slot(node, 'text'))
        else sampler.graph.inputs[at].connect(node.inputs[slot(node, 'text')], node)
    } else node.widgets[0].value = encoder.widgets[0].value
    node.connect(0, sampler, slot(sampler, 'model'))
    return sampler.inputs.filter((input, at) => input.link !== before[at]).map(input => input.name)
}"""


def _are_right(server) -> list[bool]:
    """Of each picture that the example saved last, whether the giraffe is seen above the airplane in it."""
    files = sorted(server.output.rglob("spatial_prompt_*.png"))[-4:]
    pictures = torch.stack([torch.tensor(np.asarray(Image.open(file).convert("RGB"))) for file in files])
    right = []
    for found in look_at(pictures.movedim(-1, 1) / 255).found:
        centres = {one.label: one.box.centre for one in found}
        both = {"giraffe", "airplane"} <= set(centres)
        right.append(both and Relation.ABOVE.holds(centres["giraffe"], centres["airplane"]))
    return right


def _skip_tutorial(page):
    """A first run's offer of a tutorial may lie over everything."""
    page.wait_for_timeout(1500)
    if (skip := page.get_by_role("button", name="Skip")).count():
        skip.first.click()


def test_from_an_empty_graph_to_the_first_right_picture_in_five_actions(page, server):
    page.evaluate(_EMPTY)
    actions = []

    def act(name, locator):
        locator.click()
        actions.append(name)

    act("templates", page.get_by_role("button", name="Templates").first)
    act("the pack", page.get_by_text("ComfyUI-Spatial-Steering", exact=True).first)
    act("the first template", page.get_by_text(_SHORTEST, exact=True).first)
    page.locator(".spatial-steering .chip").first.wait_for()
    act("run", page.get_by_test_id("queue-button"))
    page.wait_for_function(f"() => ({_SAVED})() === 4")

    assert len(actions) <= 5
    assert _are_right(server) == [True] * 4


def test_the_first_example_is_an_app_with_prompt_canvas_strength_and_seed(page):
    page.evaluate("graph => app.loadGraphData(graph)", json.loads((_EXAMPLES / f"{_SHORTEST}.json").read_text()))
    page.locator(".spatial-steering .chip").first.wait_for()
    page.get_by_role("button", name="Enter app mode").click()
    _skip_tutorial(page)
    widgets = page.get_by_test_id("app-mode-widget-item")
    widgets.first.wait_for()
    names = [widget.inner_text().splitlines()[0] for widget in widgets.all()]
    assert names == ["text", "layout", "strength", "seed"]

    chip = chips.chip(page, "giraffe")
    chip.focus()
    page.keyboard.press("Shift+ArrowLeft")
    said = page.locator(".spatial-steering .said")
    assert said.inner_text().startswith("giraffe ") and "giraffe above" in said.inner_text()
    page.get_by_role("button", name="Enter node graph").click()
    assert page.evaluate("() => app.graph._nodes.length") == 8


_LAYOUT = f"() => {chips.widget_value('SpatialPrompt', 'layout')}"


def test_the_canvas_of_an_app_lives_on_after_a_run_and_after_undo(page, server):
    """The front end takes a widget's element once, and makes all nodes anew."""
    page.evaluate("graph => app.loadGraphData(graph)", json.loads((_EXAMPLES / f"{_SHORTEST}.json").read_text()))
    page.locator(".spatial-steering .chip").first.wait_for()
    page.get_by_role("button", name="Enter app mode").click()
    _skip_tutorial(page)
    page.get_by_test_id("app-mode-widget-item").first.wait_for()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.wait_for_function("() => document.querySelector('.spatial-steering .picture').naturalWidth === 128")
    stage = page.locator(".spatial-steering .stage").bounding_box()
    assert stage["width"] == pytest.approx(stage["height"], abs=1) and stage["width"] > 50

    before = page.evaluate(_LAYOUT)
    chips.drag(page, "giraffe", 0.1, 0.9)
    page.wait_for_timeout(1000)
    dragged = page.evaluate(_LAYOUT)
    assert dragged != before and json.loads(dragged)["objects"][0]["y"] == pytest.approx(0.9, abs=0.05)
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Control+z")
    page.wait_for_function(f"before => ({_LAYOUT})() === before", arg=before)
    page.wait_for_timeout(1000)
    chips.drag(page, "giraffe", 0.9, 0.9)
    assert json.loads(page.evaluate(_LAYOUT))["objects"][0]["x"] == pytest.approx(0.9, abs=0.05)


_TEMPLATES = {
    "sdxl_simple_example": """() => {
        const find = test => app.graph._nodes.find(test)
        const base = find(node => node.type === 'CheckpointLoaderSimple' && node.outputs[1].links?.length)
        const sampler = find(node => node.type === 'KSamplerAdvanced'
            && app.graph.getLink(node.inputs[0].link).origin_id == base.id)
        const encoder = app.graph.getNodeById(app.graph.getLink(
            sampler.inputs.find(input => input.name === 'positive').link).origin_id)
        return (STEER)([sampler, encoder])
    }""",
    "image_z_image_turbo": """() => {
        const { subgraph } = app.graph._nodes.find(node => node.isSubgraphNode?.())
        const find = type => subgraph.nodes.find(node => node.type === type)
        return (STEER)([find('KSampler'), find('CLIPTextEncode')])
    }""",
}


@pytest.mark.parametrize("template", _TEMPLATES)
def test_a_template_of_comfyuis_own_is_steered_by_one_node_more_and_one_wire_moved(page, server, template):
    """Wired as in the front end, and asked of the server, which misses only the files of its models."""
    page.evaluate("graph => app.loadGraphData(graph)", server.get(f"/templates/{template}.json"))
    page.wait_for_function("() => app.graph._nodes.some(node => node.type.startsWith('SaveImage'))")
    page.wait_for_timeout(500)
    assert page.evaluate(_TEMPLATES[template].replace("STEER", _STEER)) == ["model"]

    prompt = page.evaluate(_PROMPT)
    ours = [name for name, node in prompt.items() if node["class_type"].endswith("SpatialPrompt")]
    steered = [node for node in prompt.values() if node["inputs"].get("model", [None])[0] in ours]
    (sampler,) = steered
    encoder = prompt[sampler["inputs"]["positive"][0]]
    assert prompt[ours[0]]["inputs"]["text"] == encoder["inputs"]["text"]

    errors = server.queue(prompt)["node_errors"]
    wrong = [error["type"] for node in errors.values() for error in node["errors"]]
    assert wrong and set(wrong) == {"value_not_in_list"}
    assert all("Loader" in node["class_type"] for node in errors.values())


def test_the_prompt_that_is_there_is_steered_where_spatial_prompt_has_the_same_text(server):
    """The wire of the positive prompt can stay: what CLIP Text Encode makes of the same text is the same."""
    nodes = graph(sampler=sampler_node(["short", 0]))
    nodes = {name: nodes[name] for name in ("miniature", "negative", "empty", "sampler", "pictures", "shown")}
    nodes["parser"] = core_node("CLIPTextEncode", clip=["miniature", 1], text=ABOVE)
    nodes["short"] = pack_node(
        "SpatialPrompt",
        model=["miniature", 0],
        clip=["miniature", 1],
        text=ABOVE,
        strength=1.0,
        how_long=0.25,
        spacing=0.25,
        update="automatic",
    )
    nodes["report"] = pack_node("SteeringReport", latent=["sampler", 0], steering_trace=["short", 4])
    nodes["words"] = core_node("PreviewAny", source=["report", 1])
    entry = server.run(nodes)
    assert entry["status"]["status_str"] == "success", entry["status"]
    (verdict,) = entry["outputs"]["words"]["text"]
    assert verdict.startswith("attention: giraffe above airplane")
