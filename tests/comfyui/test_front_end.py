"""The example workflows in the real front end, in a headless browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / "example_workflows").glob("*.json"))
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_MILLISECONDS = 240_000
_READY = "() => window.app?.graph && 'SpatialSteeringSteeredKSampler' in LiteGraph.registered_node_types"
_MISSING = "() => app.graph._nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type)"
_WIDGETS = """() => Object.fromEntries(app.graph._nodes.filter(n => n.widgets).map(
    n => [n.id, n.widgets.filter(w => w.name && w.serialize !== false).map(w => [w.name, w.value])]))"""
_CHOOSE = """([type, name, value]) => {
    const node = app.graph._nodes.find(n => n.type === type)
    const widget = node.widgets.find(w => w.name === name)
    widget.value = value
    widget.callback?.(value, app.canvas, node)
    return node.widgets.map(w => w.name)
}"""
_PICTURES = "() => app.graph._nodes.filter(n => n.type === 'SaveImage').map(n => n.imgs?.length ?? 0)"


@pytest.fixture(scope="module")
def page(server):
    """The front end, ready, with its own errors gathered in ``page.errors``."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(_MILLISECONDS)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/", wait_until="domcontentloaded")
        page.wait_for_function(_READY)
        yield page
        browser.close()


def _open(page, workflow: Path) -> dict:
    graph = json.loads(workflow.read_text())
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function(f"() => app.graph._nodes.length === {len(graph['nodes'])}")
    return graph


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_opens_without_a_missing_node_or_widget_error(page, workflow):
    graph = _open(page, workflow)

    assert page.evaluate(_MISSING) == []
    shown = page.evaluate(_WIDGETS)
    for node in graph["nodes"]:
        if node["type"].startswith("SpatialSteering") and "widgets_values" in node:
            assert [value for _, value in shown[str(node["id"])]] == node["widgets_values"], node["type"]
    assert page.errors == []


def test_only_the_inputs_that_the_choice_uses_are_shown(page):
    _open(page, WORKFLOWS[0])

    def shown(name, value):
        return page.evaluate(_CHOOSE, ["SpatialSteeringCentroidLoss", name, value])

    assert "function.leaky_slope" in shown("function", "leaky_relu")
    assert "function.leaky_slope" not in shown("function", "gelu")
    assert "orthogonal.orthogonal_weight" in shown("orthogonal", "l1")
    assert "orthogonal.orthogonal_weight" not in shown("orthogonal", "none")


def test_run_shows_the_pictures(page):
    _open(page, WORKFLOWS[0])
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(f"() => ({_PICTURES})().every(count => count === 4)")
    assert page.errors == []
