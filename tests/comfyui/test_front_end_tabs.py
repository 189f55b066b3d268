"""Two workflows open in one browser, whose nodes have the same ids, of which one is run while the other is shown."""

from __future__ import annotations

import itertools

import canvas
import chips
import pytest
from test_front_end_last_run import SAMPLE
from test_front_end_upstream import LINK

pytestmark = pytest.mark.usefixtures("no_errors")
_PROMPT, _OTHER = "a giraffe above an airplane", "a cat to the left of a dog"
_SEEDS = itertools.count(100)
_PICTURE, _RING = ".spatial-steering .picture", ".spatial-steering .seen"
_EMPTY = "async () => await app.loadGraphData({ nodes: [], links: [], version: 0.4 })"
_KNOWN = """name => {
    window[name] = app.extensionManager.workflow.activeWorkflow
    const over = told => app.api.addEventListener('execution_success', () => told(window.isOver = true), { once: true })
    window.isOver = false
    window.ended = new Promise(over)
}"""
#: What runs have written to the nodes of the graph that is open: the prompts, and the lines under nodes.
_WRITTEN = """() => app.graph._nodes.flatMap(({ properties, widgets = [] }) => {
    const lines = widgets.filter(({ name }) => name.includes('text-preview')).map(({ value }) => value)
    return [properties.prompt ?? [], lines].flat()
})"""


def _tab(page, name, prompt, *, is_linked=False):
    """A tab with a graph that draws, known to the page by a name."""
    page.evaluate(_EMPTY)
    canvas.build(page, prompt)
    page.evaluate(SAMPLE)
    if is_linked:
        page.evaluate(LINK, prompt)
    # Long enough to go elsewhere, and not from ComfyUI's cache.
    for widget, value in (("steps", 200), ("seed", next(_SEEDS))):
        page.evaluate(f"() => {{ {chips.widget_value('SteeredKSampler', widget)} = {value} }}")
    page.evaluate(_KNOWN, name)


def _go(page, name):
    page.evaluate(f"async () => {{ await app.loadGraphData({name}.activeState, true, true, {name}) }}")


def _run_behind(page, name, other):
    """Run the graph of a tab while another is shown, to the end."""
    _go(page, name)
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_timeout(200)
    _go(page, other)
    assert not page.evaluate("() => window.isOver")
    page.evaluate("async () => { await ended }")
    page.wait_for_timeout(1000)


def test_a_run_tells_nothing_to_nodes_of_another_workflow_and_all_to_its_own(page, server):
    _tab(page, "first", _PROMPT, is_linked=True)
    _tab(page, "second", _OTHER, is_linked=True)
    _run_behind(page, "first", "second")
    assert page.evaluate(_WRITTEN) == []
    assert page.locator(".spatial-steering .hint").is_visible(), "the prompt of this one is not known yet"

    _go(page, "first")
    chips.chip(page, "giraffe").wait_for()
    page.locator(_PICTURE).wait_for()
    assert page.locator(_RING).count() == 2
    written = page.evaluate(_WRITTEN)
    assert written[:2] == [_PROMPT, _PROMPT] and written[2].startswith("giraffe above airplane: ")

    _go(page, "second")
    page.wait_for_timeout(1000)
    assert page.evaluate(_WRITTEN) == [] and page.locator(".spatial-steering .hint").is_visible()


def test_a_picture_of_another_workflow_does_not_lie_under_the_objects(page, server):
    _tab(page, "first", _PROMPT)
    _tab(page, "second", _OTHER)
    _run_behind(page, "first", "second")
    assert page.locator(_PICTURE).is_hidden() and page.locator(_RING).count() == 0
    for name, has_picture in (("first", True), ("second", False)):
        _go(page, name)
        page.wait_for_timeout(1000)
        assert page.locator(_PICTURE).is_visible() == has_picture, name
        assert page.locator(_RING).count() == 2 * has_picture


_INTO_SUBGRAPH = """() => {
    const types = ['SceneLayout', 'RelationParser', 'SteeredKSampler', 'VAEDecode', 'PreviewImage']
    const isIn = ({ type }) => types.some(name => type.endsWith(name))
    app.graph.convertToSubgraph(new Set(app.graph._nodes.filter(isIn)))
}"""
_ENTER = """() => {
    const host = app.graph._nodes.find(node => node.isSubgraphNode?.())
    app.canvas.openSubgraph(host.subgraph, host)
}"""


def test_a_canvas_in_a_subgraph_has_the_picture_of_a_run_behind_once_the_subgraph_is_entered(page, server):
    _tab(page, "first", _PROMPT)
    page.evaluate(_INTO_SUBGRAPH)
    _tab(page, "second", _OTHER)
    _run_behind(page, "first", "second")
    _go(page, "first")
    page.wait_for_timeout(500)
    page.evaluate(_ENTER)
    page.locator(_PICTURE).wait_for()
    assert page.locator(_RING).count() == 2
    assert page.locator(".spatial-steering .chip").count() == 2


#: The front end brings back the tabs of a page that is loaded anew, with the graphs that they were opened with.
_AS_A_TAB = "async () => { await app.loadGraphData(app.graph.serialize()) }"
_BY_PATH = """async ([name, path]) => {
    window[name] = app.extensionManager.workflow.getWorkflowByPath(path)
    await window[name].load()
}"""


def test_a_run_tells_its_own_workflow_also_where_the_page_was_loaded_anew(page, server):
    for name, prompt in (("first", _PROMPT), ("second", _OTHER)):
        _tab(page, name, prompt)
        # So that steps are still looked at when the page has been loaded.
        page.evaluate(f"() => {{ {chips.widget_value('SteeredKSampler', 'end_percent')} = 1 }}")
        page.evaluate(_AS_A_TAB)
        page.evaluate(_KNOWN, name)
    path = page.evaluate("() => first.path")
    _go(page, "first")
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_timeout(200)
    _go(page, "second")
    page.wait_for_timeout(1000)
    page.reload(wait_until="domcontentloaded")
    chips.chip(page, "cat").wait_for()
    while server.get("/queue")["queue_running"]:
        page.wait_for_timeout(200)
    page.wait_for_timeout(1000)
    assert page.evaluate(_WRITTEN) == []
    assert page.locator(_PICTURE).is_hidden() and page.locator(_RING).count() == 0
    page.evaluate(_BY_PATH, ["first", path])
    _go(page, "first")
    page.locator(_PICTURE).wait_for(timeout=10_000)
    assert page.locator(_RING).count() == 2
