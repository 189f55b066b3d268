"""The picture of the last run on the canvas, in the real front end, and where attention saw the objects."""

from __future__ import annotations

import canvas
import chips
import pytest
from graphs import ADD, EMPTY_GRAPH

pytestmark = pytest.mark.usefixtures("no_errors")
SAMPLE = (
    """() => {"""
    + ADD
    + """
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
)

#: In a tab of its own; a graph that is opened has an id of its own from then on.
_OPEN_AGAIN = "async () => await app.loadGraphData(app.graph.serialize())"
AS_UNDO_DOES = """async () => {
    const { activeWorkflow } = app.extensionManager.workflow
    await app.loadGraphData(app.graph.serialize(), false, false, activeWorkflow)
}"""


def test_the_picture_of_the_last_run_lies_under_the_objects_with_where_attention_saw_them(page, server):
    canvas.show(page, "a giraffe above an airplane")
    page.evaluate(SAMPLE)
    page.evaluate(_OPEN_AGAIN)
    picture = page.locator(".spatial-steering .picture")
    assert picture.is_hidden() and chips.tool(page, "\N{WHITE SQUARE CONTAINING BLACK SMALL SQUARE}").is_hidden()

    page.evaluate("() => app.queuePrompt(0)")
    picture.wait_for()
    page.wait_for_function("() => document.querySelector('.spatial-steering .picture').naturalWidth === 128")
    assert page.locator(".spatial-steering .seen").count() == 2

    chips.tool(page, "\N{WHITE SQUARE CONTAINING BLACK SMALL SQUARE}").click()
    assert picture.is_hidden() and page.locator(".spatial-steering .seen").count() == 0

    page.evaluate(AS_UNDO_DOES)
    picture.wait_for()
    canvas.show(page, canvas.CAT_DOG)
    assert picture.is_hidden(), "a new graph, whose nodes have the same ids"


_PICTURE_IS = "side => document.querySelector('.spatial-steering .picture')?.naturalWidth === side"


def test_another_picture_of_the_same_name_is_shown_and_rings_of_the_one_before_are_not(page, server):
    """A picture's name is free again once its file is gone."""

    def run(prompt, width):
        canvas.write(page, prompt)
        page.evaluate(f"() => {{ {chips.widget_value('EmptyLatentImage', 'width')} = {width} }}")
        page.evaluate("() => app.queuePrompt(0)")
        page.wait_for_function(_PICTURE_IS, arg=width, timeout=60_000)
        name = page.evaluate("() => new URL(document.querySelector('.picture').src).searchParams.get('filename')")
        server.output.parent.joinpath("temp", name).unlink()
        return name, page.locator(".spatial-steering .seen").count()

    canvas.show(page, "a giraffe above an airplane")
    page.evaluate(SAMPLE)
    page.evaluate(f"() => {{ {chips.widget_value('SteeredKSampler', 'seed')} = 77 }}")
    name, rings = run("a giraffe above an airplane", 128)
    assert rings == 2
    assert run("a giraffe above an airplane", 64) == (name, 2)
    assert run("a giraffe and an airplane", 96) == (name, 0), "a run that steers nothing looks at nothing"


def test_a_job_that_is_opened_again_brings_its_picture(page, server):
    canvas.show(page, "a giraffe above an airplane")
    page.evaluate(SAMPLE)
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(_PICTURE_IS, arg=128)
    (*_, done) = server.get("/history").values()
    page.evaluate(_OPEN_AGAIN)
    chips.chip(page, "giraffe").wait_for()
    assert page.locator(".spatial-steering .picture").is_hidden(), "another tab, of a graph of the same id"
    # As the list of jobs does.
    page.evaluate("outputs => { app.nodeOutputs = outputs }", done["outputs"])
    page.wait_for_function(_PICTURE_IS, arg=128)


_LAST = """() => {
    const marks = [...document.querySelectorAll('.spatial-steering .seen')]
    const at = marks.map(mark => [mark.getAttribute('cx'), mark.getAttribute('cy')])
    const picture = document.querySelector('.spatial-steering .picture')
    return JSON.stringify([picture.hidden, picture.src, at])
}"""


def test_rings_and_picture_are_of_one_run_and_a_cancelled_run_leaves_none(page, server):
    canvas.show(page, "a giraffe above an airplane")
    page.evaluate(SAMPLE)
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


def _boxes(page):
    """Of the field, the frame of the picture in it and the picture."""
    return [page.locator(f".spatial-steering .{name}").bounding_box() for name in ("field", "stage", "picture")]


def test_the_picture_keeps_its_proportions_and_objects_their_places_in_it(page, server):
    canvas.show(page, "a giraffe above an airplane")
    chips.drag(page, "giraffe", 0.9, 0.1)
    value = canvas.value(page)
    page.evaluate(SAMPLE)
    width, steps = chips.widget_value("EmptyLatentImage", "width"), chips.widget_value("SteeredKSampler", "steps")
    page.evaluate(f"() => {{ {width} = 64; {steps} = 1 }}")
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => document.querySelector('.spatial-steering .picture').naturalWidth === 64")

    for size in ([400, 900], [900, 500]):
        page.evaluate(f"() => {{ {canvas.NODE}.setSize({size}); app.canvas.setDirty(true, true) }}")
        page.wait_for_timeout(500)
        field, stage, picture = _boxes(page)
        assert picture == stage and stage["width"] / stage["height"] == pytest.approx(0.5, abs=0.01)
        shares = [stage[side] / (share * field[side]) for side, share in (("width", 0.7), ("height", 0.8))]
        assert max(shares) == pytest.approx(1, abs=0.02), "as large as the field lets it be"
        assert stage["x"] + stage["width"] / 2 == pytest.approx(field["x"] + field["width"] / 2, abs=2)
        assert chips.centre(page, "giraffe") == pytest.approx(chips.at(page, 0.9, 0.1), abs=3)
    assert canvas.value(page) == value

    chips.drag(page, "airplane", 0.1, 0.9)
    assert canvas.places(page)["airplane"] == pytest.approx((0.1, 0.9), abs=0.02)
    _, shown, _ = _boxes(page)
    chips.tool(page, "\N{WHITE SQUARE CONTAINING BLACK SMALL SQUARE}").click()
    assert page.locator(".spatial-steering .picture").is_hidden()
    assert page.locator(".spatial-steering .stage").bounding_box() == shown


#: Two samplers behind one canvas; each picture has the title of its sampler.
_TWO_SAMPLERS = (
    """areSteered => {"""
    + EMPTY_GRAPH
    + """
    const set = (node, name, value) => { node.widgets.find(widget => widget.name === name).value = value }
    const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex(input => input.name === name))
    const model = add('SpatialSteeringLoadMiniatureModel', 0, 0)
    const prompt = add('SpatialSteeringSpatialPrompt', 0, 200)
    const latent = add('EmptyLatentImage', 0, 900)
    link(model, 0, prompt, 'model')
    link(model, 1, prompt, 'clip')
    set(prompt, 'text', 'a giraffe above an airplane')
    for (const side of ['width', 'height']) set(latent, side, 128)
    const seed = 80 + 2 * areSteered.filter(Boolean).length  // each graph's own, else it comes from the cache at once
    areSteered.forEach((isSteered, index) => {
        const [sampler, decode, shown] = ['KSampler', 'VAEDecode', 'PreviewImage'].map(type => add(type, 600, 0))
        link(isSteered ? prompt : model, 0, sampler, 'model')
        for (const side of ['positive', 'negative']) link(prompt, 1, sampler, side)
        link(latent, 0, sampler, 'latent_image')
        link(sampler, 0, decode, 'samples')
        link(model, 2, decode, 'vae')
        link(decode, 0, shown, 'images')
        for (const [name, value] of [['steps', 8], ['seed', seed + index], ['control_after_generate', 'fixed']])
            set(sampler, name, value)
        sampler.title = shown.title = isSteered ? `steered ${index}` : `plain ${index}`
    })
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [150, 150]
    app.canvas.setDirty(true, true)
}"""
)
#: By the titles of nodes: where attention saw the objects last, and the rings that lay on a picture when it was shown.
_WATCH = """() => {
    window.looks = {}
    const rings = () => [...document.querySelectorAll('.spatial-steering .seen')]
        .flatMap(ring => ['cx', 'cy'].map(side => parseFloat(ring.getAttribute(side))))
    const titled = id => app.graph.getNodeById(id).title
    app.api.addEventListener('spatial_steering.looked', ({ detail: { node, objects } }) => {
        window.looks[titled(node)] = objects.flatMap(({ x, y }) => [100 * x, 100 * y])
    })
    app.api.addEventListener('executed', ({ detail: { node, output } }) => {
        if (output?.images) window.rings[titled(node)] = rings()
    })
}"""
_RUN = """async () => {
    window.rings = {}
    const ended = new Promise(told => app.api.addEventListener('execution_success', told, { once: true }))
    await app.queuePrompt(0)
    await ended
    return [looks, rings]
}"""


@pytest.mark.parametrize("titles", [["steered 0", "plain 1"], ["steered 0", "steered 1"]], ids=" and ".join)
def test_each_picture_has_the_rings_of_its_own_sampler_and_keeps_them(page, server, titles):
    page.evaluate(_TWO_SAMPLERS, [title.startswith("steered") for title in titles])
    page.evaluate(_WATCH)
    chips.chip(page, "giraffe").wait_for()
    for how in ("fresh", "from the cache"):
        looks, rings = page.evaluate(_RUN)
        assert rings.keys() == set(titles), how
        for title in titles:
            assert rings[title] == pytest.approx(looks.get(title, []), abs=0.1), (title, how)
