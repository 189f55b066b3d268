"""Texts of a stranger's workflow in the front end: nothing of them runs, and what is damaged stops itself alone."""

from __future__ import annotations

import json
import random
import re
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from graphs import core_node, graph, pack_node, sampler_node

from steering_core.editing import read_edits
from steering_core.layout import read_layout

IMG = "<img src=x onerror=window.__pwned=1>"
SVG = "<svg onload=window.__pwned=1>"
LINK = "[[see|file:/etc]] __LNK7__ &lt;b&gt; \"'"
PROMPT = f"a photo of a {IMG} above an {SVG} and a {LINK} ![x](javascript:window.__pwned=1) airplane"
#: What an attack leaves in a page, if it is taken for HTML.
_TRACES = """() => [
    window.__pwned, document.querySelectorAll('img[src="x"], svg[onload], [onmouseover], a[href^="javascript"]').length
]"""
#: What a node says is in the page only where the node is.
_SHOW_SAMPLER = """() => {
    app.graph._nodes.find(node => node.type === 'KSampler').pos = [0, 0]
    Object.assign(app.canvas.ds, { scale: 1, offset: [400, 300] })
    app.canvas.setDirty(true, true)
}"""
_AS_MARKDOWN = """() => app.graph._nodes.filter(node => node.type === 'PreviewAny').forEach(
    node => { node.widgets.find(widget => widget.name === 'preview_mode').value = true })"""
_EDITS = {"subject": IMG, "relation": "above", "object": SVG, "wanted": "left_of", "on": True}
_LAYOUT = {
    "objects": [{"name": name, "occurrence": 0, "x": x, "y": 0.5} for name, x in ((IMG, 0.1), (SVG, 0.5), (LINK, 0.9))],
    "relations": [[0, "left_of", 1], [1, "left_of", 2]],
}


def _attack(seed: int) -> dict[str, Any]:
    """A steered graph whose every text holds markup, all of it shown somewhere; it is sampled once for each seed."""
    steered = graph(PROMPT, sampler=sampler_node(["steer", 0], seed=seed))
    steered["hand"] = pack_node("SpatialRelation", relations=["parser", 1], subject=IMG, relation="above", object=SVG)
    steered["more"] = pack_node("SpatialRelation", relations=["hand", 0], subject=LINK, relation="below", object=SVG)
    steered["edits"] = pack_node("EditRelations", relations=["more", 0], edits={"relations": [_EDITS]})
    steered["layout"] = pack_node("SceneLayout", relations=["edits", 0], layout=_LAYOUT)
    steered["steer"]["inputs"]["relations"] = ["layout", 0]
    steered["report"] = pack_node("SteeringReport", latent=["sampler", 0], steering_trace=["steer", 1])
    shown = [["parser", 2], ["more", 1], ["edits", 1], ["layout", 1], ["report", 1], ["report", 2]]
    return steered | {f"text{number}": core_node("PreviewAny", source=source) for number, source in enumerate(shown)}


def test_the_line_under_a_sampler_holds_no_markup_and_can_be_read(server):
    websocket = pytest.importorskip("websocket", reason="no websocket-client: it comes with comfy-cli")
    socket = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId=texts", timeout=120)
    texts = []
    try:
        queued = server.queue(_attack(1), client_id="texts")
        assert not queued["node_errors"]
        ended = False
        while not ended:
            message = socket.recv()
            if isinstance(message, str):
                event = json.loads(message)
                ended = event["type"] in ("execution_success", "execution_error")
                if event["type"] == "spatial_steering.said":
                    texts.append(event["data"]["text"])
    finally:
        socket.close()
    assert server.finish(queued)["status"]["status_str"] == "success"
    assert texts
    for text in texts:
        assert "img src=x onerror=window" in text and "see" in text and "to the left of" in text
        assert not set(text) & set("<>&\"'|/_")


def _run(page, server) -> dict[str, Any]:
    """Queue the graph that the page shows; returns its entry of the history."""
    known = set(server.get("/history"))
    page.evaluate("() => app.queuePrompt(0)")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if new := set(server.get("/history")) - known:
            return server.get("/history")[new.pop()]
        page.wait_for_timeout(200)
    raise TimeoutError("nothing was run")


def _previewed(entry: dict[str, Any]) -> list[str]:
    """The texts that a run showed."""
    return [text for output in entry["outputs"].values() for text in output.get("text", [])]


def _open(page, prompt: dict[str, Any]) -> None:
    page.errors.clear()
    page.evaluate("async prompt => { await app.loadApiJson(prompt, 'attack') }", prompt)
    page.wait_for_function("count => app.graph._nodes.length === count", arg=len(prompt))


def test_no_text_of_a_workflow_runs_in_the_page(page, server):
    _open(page, _attack(2))
    chip = page.locator(f".spatial-steering .chip[value='{IMG}']")
    chip.wait_for(state="attached")
    page.evaluate(_SHOW_SAMPLER)

    assert _run(page, server)["status"]["status_str"] == "success"

    page.get_by_text(re.compile("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}img.* there")).first.wait_for()
    page.evaluate(_AS_MARKDOWN)
    page.wait_for_timeout(500)
    assert chip.get_attribute("title") == IMG
    assert page.locator(".spatial-steering .row").first.text_content().startswith(IMG)
    assert IMG in page.locator(".spatial-steering .said").text_content()
    assert page.evaluate(_TRACES) == [None, 0]
    assert page.errors == []


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"subject": f"zebra {IMG}", "object": SVG}, "zebra"),  # an error of the node when it runs
        ({"subject": IMG, "object": IMG}, "Errors detected"),  # one of its inputs, before anything runs
    ],
    ids=["run", "validation"],
)
def test_no_text_of_an_error_runs_in_the_page(page, server, node, words):
    prompt = _attack(3)
    prompt["hand"]["inputs"] |= node
    _open(page, prompt)

    page.evaluate("() => app.queuePrompt(0)")

    page.get_by_role("button", name="View details").click()
    page.wait_for_function("words => document.body.innerText.includes(words)", arg=words)
    assert page.evaluate(_TRACES) == [None, 0]
    page.keyboard.press("Escape")


_DEEP: list = []
for _ in range(100):  # ComfyUI's own queue copies what is nested, and its worker ends at some 300
    _DEEP = [_DEEP]
_SOUND = {
    "EditRelations": {"subject": "cat", "relation": "left_of", "object": "dog", "wanted": "above", "on": True},
    "SceneLayout": {"name": "cat", "occurrence": 0, "x": 0.5, "y": 0.5},
}
_ROW = _SOUND["EditRelations"]
_PLACE_ROW = {"subject": "cat", "relation": "at_left", "object": None, "wanted": "at_top", "on": True}
_CHIP = _SOUND["SceneLayout"]
#: What a workflow holds in the place of a value, and what is said of it.
_DAMAGED = {
    "EditRelations": [
        ({"relations": [{**_ROW, "wanted": "over"}]}, 'relations[0].wanted: "over"'),
        ({"relations": [_ROW, None]}, "relations[1]: null"),
        ({"relations": {}}, "relations: {…}"),
        ({"relations": [{**_ROW, "relation": "__proto__"}]}, 'relations[0].relation: "__proto__"'),
        ({"relations": [{**_ROW, "wanted": IMG}]}, f'relations[0].wanted: "{IMG}"'),
        ({"relations": [{"__proto__": _ROW}]}, "relations[0].subject: –"),
        ({"relations": [_ROW] * 5000 + [3]}, "relations[5000]: 3"),
        ({"relations": [{**_PLACE_ROW, "object": "dog"}]}, 'relations[0].object: "dog"'),
        ({"relations": [{**_PLACE_ROW, "wanted": "above"}]}, 'relations[0].wanted: "above"'),
        ({"relations": _DEEP}, "relations[0]: [1]"),
        ("text", '"text"'),
        (3, "3"),
        ([_ROW], "[1]"),
        (True, "true"),
    ],
    "SceneLayout": [
        ({"objects": [_CHIP]}, "relations: –"),
        ({"objects": None, "relations": []}, "objects: null"),
        ({"objects": [_CHIP, None], "relations": []}, "objects[1]: null"),
        ({"objects": [{**_CHIP, "x": None}], "relations": []}, "objects[0].x: null"),
        ({"objects": [{**_CHIP, "x": "0.5"}], "relations": []}, 'objects[0].x: "0.5"'),
        ({"objects": [{**_CHIP, "name": {}}], "relations": []}, "objects[0].name: {…}"),
        ({"objects": [_CHIP], "relations": [[0, "above", 0]]}, "relations[0]: [3]"),
        ({"objects": [_CHIP, {**_CHIP, "name": "dog"}], "relations": [[0, "a b", 1]]}, 'relations[0][1]: "a b"'),
        ({"objects": [_CHIP], "relations": [[0, "above", 1]]}, "relations[0][2]: 1"),
        (
            {"objects": [_CHIP, {**_CHIP, "name": "dog"}], "relations": [[0, "at_left", 1]]},
            'relations[0][1]: "at_left"',
        ),
        ({"objects": [_CHIP], "relations": [0]}, "relations[0]: 0"),
        ({"objects": [_CHIP] * 5000, "relations": []}, "objects: 5000 > 64"),
        ({"objects": _DEEP, "relations": []}, "objects[0]: [1]"),
        ("text", '"text"'),
        ([0, "x"], "[2]"),
        (False, "false"),
    ],
}
_INPUTS = {"EditRelations": "edits", "SceneLayout": "layout"}
_CAT_DOG = "a cat to the left of a dog"
#: Puts a value into a saved workflow, loads it, and keeps what was put in to compare it with later on.
_LOAD_WITH = """async ([type, value]) => {
    const saved = app.graph.serialize()
    saved.nodes.find(node => node.type === type).widgets_values = [value]
    window.put = JSON.stringify(value)
    await app.loadGraphData(saved)
}"""
_FIND = "app.graph._nodes.find(node => node.type === type)"
#: As JSON text, which comes through comfy-cli as well.
_KEPT = f"type => {_FIND}.serialize().widgets_values[0] === window.put"
_SAID = "() => [...document.querySelectorAll('.spatial-steering .hint p')].map(p => p.innerText)"
_SENT = """async type => {
    const { output } = await app.graphToPrompt()
    const { inputs } = Object.values(output).find(node => node.class_type === type)
    const [value] = Object.values(inputs).filter(value => !Array.isArray(value) || typeof value[1] !== 'number')
    return JSON.stringify(value.__value__ ?? value) === window.put
}"""


def _two_branches(kind: str, value: Any = None) -> dict[str, Any]:
    """What hangs on a widget's value, and what does not."""
    node = pack_node(kind, relations=["parser", 1], **{_INPUTS[kind]: {} if value is None else value})
    return {
        "miniature": graph()["miniature"],
        "parser": pack_node("RelationParser", clip=["miniature", 1], text=_CAT_DOG),
        "changed": node,
        "hanging": core_node("PreviewAny", source=["changed", 1]),
        "other": core_node("PreviewAny", source=["parser", 2]),
    }


@pytest.mark.parametrize("kind", _DAMAGED)
def test_a_damaged_value_is_shown_kept_and_reset(page, server, kind):
    type = f"SpatialSteering{kind}"
    _open(page, _two_branches(kind))
    hint = page.locator(".spatial-steering .hint")
    for value, fault in _DAMAGED[kind]:
        page.evaluate(_LOAD_WITH, [type, value])
        page.wait_for_function(f"() => ({_SAID})().some(text => text.includes('damaged'))")
        assert hint.locator("p").inner_text().splitlines()[1] == fault
        assert page.evaluate(_KEPT, type) and page.evaluate(_SENT, type)

    assert _previewed(_run(page, server)) == ["cat to the left of dog"]

    # Not a click, for a panel with the errors may lie over the node.
    hint.get_by_role("button", name="Reset").dispatch_event("click")
    page.locator(".spatial-steering .row, .spatial-steering .chip").first.wait_for(state="attached")
    assert page.evaluate("type => " + _FIND + ".serialize().widgets_values[0]", type) == "{}"
    assert _previewed(_run(page, server)) == ["cat to the left of dog"] * 2
    assert page.evaluate(_TRACES) == [None, 0]
    assert page.errors == []


def test_a_damaged_value_further_up_is_said(page):
    prompt = _two_branches("SceneLayout")
    prompt["edits"] = pack_node("EditRelations", relations=["parser", 1], edits={"relations": [None]})
    prompt["changed"]["inputs"]["relations"] = ["edits", 0]
    _open(page, prompt)
    page.wait_for_function(f"() => ({_SAID})().some(text => text.includes('before this one'))")
    assert "Edit Relations: relations[0]: null" in "".join(page.evaluate(_SAID))
    assert page.errors == []


#: Sets one value after another; says which are shown as damaged, and that those are kept.
_SET_ALL = f"""([type, values]) => values.map(value => {{
    const {{ widgets: [widget] }} = {_FIND}
    widget.value = value
    const damaged = document.querySelector('.spatial-steering .hint p').textContent.includes('damaged')
    if (damaged && widget.value !== JSON.stringify(value)) throw new Error('it was changed')
    return damaged
}})"""


def _fuzzed(value: Any, rng: random.Random) -> Any:
    """A value, of which a part may be another."""
    if rng.random() < 0.1:
        return rng.choice([None, True, -1, 0, 1, 0.5, 2, 1e30, "", "near", "cat", [], {}, [0, "near", 1], {"x": 0}])
    if isinstance(value, list):
        return [_fuzzed(part, rng) for part in value if rng.random() > 0.03]
    if isinstance(value, dict):
        return {key: _fuzzed(part, rng) for key, part in value.items() if rng.random() > 0.03}
    return value


@pytest.mark.parametrize(("kind", "read"), [("EditRelations", read_edits), ("SceneLayout", read_layout)])
def test_the_widgets_and_the_server_agree_on_what_is_damaged(page, kind, read):
    sound = {
        "EditRelations": {"relations": [_ROW, {**_PLACE_ROW, "on": False}]},
        "SceneLayout": {"objects": [_CHIP, {**_CHIP, "name": "dog"}], "relations": [[0, "near", 1], [1, "above", 0]]},
    }
    rng = random.Random(0)
    values = [_fuzzed(sound[kind], rng) for _ in range(1000)]
    _open(page, _two_branches(kind))
    page.locator(".spatial-steering .row, .spatial-steering .chip").first.wait_for(state="attached")

    shown = page.evaluate(_SET_ALL, [f"SpatialSteering{kind}", values])

    def refuses(value: Any) -> bool:
        try:
            read(value)
        except ValueError:
            return True
        return False

    assert {json.dumps(value): refuses(value) for value in values} == dict(zip(map(json.dumps, values), shown))
    assert 50 < sum(shown) < 950  # both kinds were tried
    assert page.errors == []


@pytest.mark.parametrize("kind", _DAMAGED)
def test_a_damaged_value_stops_what_hangs_on_it_alone(server, kind):
    for value, _ in _DAMAGED[kind]:
        # As the front end sends a list, for a list is a link.
        sent = {"__value__": value} if isinstance(value, list) else value
        queued = server.queue(_two_branches(kind, sent))
        (error,) = queued["node_errors"]["changed"]["errors"]
        assert error["details"].startswith(f"{_INPUTS[kind]} - {_INPUTS[kind]}") and len(error["details"]) < 500
        # The parser says what it read, where that is not known from the run before.
        assert set(server.finish(queued)["outputs"]) - {"parser"} == {"other"}


def _described(server, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/spatial_steering/describe", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


@pytest.mark.parametrize(
    "prompt", ["it and them above her", "a dog under the sky and it above a cat", PROMPT, "\ud800"]
)
def test_any_prompt_is_described(server, prompt):
    status, told = _described(server, json.dumps({"prompt": prompt}).encode())
    assert status == 200 and {"described", "objects", "relations", "stands", "unsteered", "vocabulary"} == set(told)


def test_the_name_of_an_embedding_is_described_as_no_object(server):
    _, told = _described(server, json.dumps({"prompt": "embedding:giraffe above an airplane"}).encode())
    assert [one["name"] for one in told["objects"]] == ["airplane"] and not told["relations"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "was expected"),
        (b"\xff", 400, "was expected"),
        (b"[" * 100_000, 400, "was expected"),
        (b"[]", 400, "was expected"),
        (b'{"prompt": 3}', 400, "was expected"),
        (json.dumps({"prompt": ["a"]}).encode(), 400, "was expected"),
        (json.dumps({"prompt": "a" * 50_001}).encode(), 413, "at most 50000 letters"),
        (json.dumps({"prompt": "a dog above a cat " * 500_000}).encode(), 413, "at most 50000 letters"),
    ],
    ids=["nothing", "no text", "nested", "a list", "a number", "a list of texts", "too long", "megabytes"],
)
def test_what_is_no_prompt_is_answered_plainly(server, body, status, error):
    answered, told = _described(server, body)
    assert (answered, list(told)) == (status, ["error"]) and error in told["error"]
