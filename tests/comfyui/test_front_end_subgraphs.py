"""Nodes within a subgraph in the real front end: what is seen outside, and that nothing is left of them."""

from __future__ import annotations

import canvas
import pytest
from test_front_end_last_run import AS_UNDO_DOES, SAMPLE

pytestmark = pytest.mark.usefixtures("no_errors")
_INTO_SUBGRAPH = """() => {
    const types = ['SceneLayout', 'RelationParser', 'SteeredKSampler']
    const isIn = ({ type }) => types.some(name => type.endsWith(name))
    app.graph.convertToSubgraph(new Set(app.graph._nodes.filter(isIn)))
    const host = app.graph._nodes.find(node => node.isSubgraphNode?.())
    const sampler = host.subgraph.nodes.find(({ type }) => type.endsWith('SteeredKSampler'))
    sampler.widgets.find(({ name }) => name === 'steps').value = 400
}"""
#: The line under the node of the subgraph.
_LINE = """() => {
    const host = app.graph._nodes.find(node => node.isSubgraphNode?.())
    return String(host.widgets.find(({ name }) => name === '$$node-text-preview')?.value ?? '')
}"""


@pytest.fixture(autouse=True)
def no_graph_before(page):
    """Elements of nodes that were in a subgraph stay in the page where a graph is emptied and built anew."""
    page.evaluate("async () => await app.loadGraphData({ version: 0.4, nodes: [], links: [] })")
    page.locator(".spatial-steering").wait_for(state="detached")


def test_the_sampler_in_a_subgraph_says_outside_how_it_gets_on_and_where_it_was_stopped(page, server):
    canvas.show(page, "a giraffe above an airplane")
    page.evaluate(SAMPLE)
    page.evaluate(_INTO_SUBGRAPH)
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(f"() => /^step .* giraffe above airplane/.test(({_LINE})())")
    page.evaluate("async () => await app.api.interrupt()")
    page.wait_for_function(f"() => /^stopped at step .* giraffe above airplane/.test(({_LINE})())")


_COUNTED = """() => {
    const [set, clear] = [window.setInterval, window.clearInterval]
    window.alive = new Set()
    window.setInterval = (...args) => { const id = set(...args); window.alive.add(id); return id }
    window.clearInterval = id => { window.alive.delete(id); clear(id) }
}"""


def test_undo_leaves_nothing_of_the_nodes_before(page):
    canvas.show(page, "a giraffe above an airplane")
    page.evaluate(SAMPLE)
    page.evaluate(_INTO_SUBGRAPH)
    page.evaluate(_COUNTED)
    alive = []
    for _ in range(3):
        page.evaluate(AS_UNDO_DOES)
        page.wait_for_timeout(1500)
        alive.append(page.evaluate("() => window.alive.size"))
    assert alive[0] > 0 and alive == alive[:1] * 3
