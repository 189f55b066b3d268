"""The example workflows in a running ComfyUI, by comfy-cli as a user runs them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tomllib
from PIL import Image

from steering_core.evaluation.suites.suite import Triplet
from steering_core.evaluation.visor import judge
from steering_core.miniature.look import look_at
from steering_core.parser import parse
from steering_core.pictures import from_image
from tools import comfy_test
from tools.locales import schema_inputs

PACK = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((PACK / "example_workflows").glob("*.json"))
#: Of these the models are the artist's; in the tests they are stand-ins with random weights.
WITH_FILES = {
    "17 Stable Diffusion 1.5",
    "18 Stable Diffusion XL",
    "19 Z-Image Turbo",
    "20 Qwen-Image",
    "21 FLUX.2 klein",
    "22 Krea 2",
    "24 Best of eight by RT-DETR (needs weights)",
}
#: The stand-in for whatever Stable Diffusion 1.x checkpoint is chosen.
STABLE_DIFFUSION = "v1-5-pruned-emaonly-fp16.safetensors"
SIDE = 64
#: In the canvas's units: a node's title above its place, and a few lines and a preview under a sampler.
_TITLE, _RUN_ROOM = 30, 290
_SAMPLERS = {"KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced", "SpatialSteeringSteeredKSampler"}
#: Training needs packages that ComfyUI has not.
TRAINS = "13 Train (needs packages)"
_PROMPTS = {"SpatialSteeringSpatialPrompt", "SpatialSteeringRelationParser"}
#: comfy-cli loses the boxes of ComfyUI's box canvas, and with them what is asked for.
BOXES = "23 Boxes"
#: What is asked for where the prompt alone does not say it.
ASKED = {
    "05 Objects on a canvas": "a cat to the right of a dog and a bus below and to the left of the cat",
    "06 Relations by hand": "a cat to the right of a dog, and a boat above the dog",
}


@pytest.fixture(scope="module")
def stand_ins(start_server, tmp_path_factory):
    """A server whose models have random weights and the names that the workflows ask for: see the pack stand_ins."""
    base = tmp_path_factory.mktemp("stand_ins")
    packs = base / "custom_nodes"
    packs.mkdir()
    for pack in (PACK, Path(__file__).parent / "stand_ins"):
        (packs / pack.name).symlink_to(pack)
    with start_server(base) as running:
        yield running
    shutil.rmtree(base / "models")


def _run(comfy: str, server, workflow: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """What ComfyUI tells of the run, and the pictures that it saved, by their names."""
    before = set(server.output.rglob("*.png"))
    address = ["--host", "127.0.0.1", "--port", str(server.port)]
    done = subprocess.run(
        [comfy, "--skip-prompt", "run", "--workflow", str(workflow), *address, "--wait", "--timeout", "300"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = sorted(set(server.output.rglob("*.png")) - before)
    (entry,) = server.get("/history?max_items=1").values()
    return entry, {picture.name: np.asarray(Image.open(picture)) for picture in pictures}


def _asked(workflow: Path) -> list[Triplet]:
    """The relations that an example's pictures are to have."""
    nodes = json.loads(workflow.read_text())["nodes"]
    texts = [node["widgets_values_named"]["text"] for node in nodes if node["type"] in _PROMPTS]
    (text,) = [ASKED[workflow.stem]] if workflow.stem in ASKED else texts
    return [(one.subject.text, one.relation, one.object_text) for one in parse(text).relations]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_values_are_the_same_however_they_are_restored(workflow):
    graph = json.loads(workflow.read_text())
    inner = [node for subgraph in (graph.get("definitions") or {}).get("subgraphs", []) for node in subgraph["nodes"]]
    named = [node for node in graph["nodes"] + inner if isinstance(node.get("widgets_values_named"), dict)]
    assert any(node["type"] == "MarkdownNote" for node in named)
    for node in named:
        assert node["widgets_values"] == list(node["widgets_values_named"].values()), node["type"]


@pytest.mark.parametrize(
    "workflow", [file for file in WORKFLOWS if file.stem not in WITH_FILES], ids=lambda file: file.stem
)
def test_workflow_runs(comfyui, server, comfy, workflow):
    if workflow.stem == TRAINS:
        comfyui.need_training()
    entry, pictures = _run(comfy, server, workflow)
    _, _, sent, *_ = entry["prompt"]
    # Of the pack's nodes alone: comfy-cli loses values that it has no place for.
    ours = [node for node in json.loads(workflow.read_text())["nodes"] if node["type"].startswith("SpatialSteering")]
    assert ours and {str(node["id"]) for node in ours} <= sent.keys()
    for node in ours:
        inputs = sent[str(node["id"])]["inputs"]
        values = {name: value for name, value in node.get("widgets_values_named", {}).items() if name in inputs}
        assert inputs == {**inputs, **values}, node["type"]
    expected = sum(node["type"] == "SaveImage" for node in json.loads(workflow.read_text())["nodes"])
    assert len(pictures) == 4 * expected
    for pixels in pictures.values():
        assert pixels.shape == (128, 128, 3)
        assert pixels.std() > 5
    if workflow.stem in (TRAINS, BOXES):
        return
    firsts = {name: pixels for name, pixels in pictures.items() if "_00001_" in name and "unsteered" not in name}
    assert firsts
    for name, pixels in firsts.items():
        (found,) = look_at(from_image(Image.fromarray(pixels))[None]).found
        assert judge(_asked(workflow), found).correct, name


def _small(workflow: dict) -> dict:
    """The workflow with a small picture and few steps, and a node that shows the report's JSON."""
    named_primitives = {"Width": SIDE, "Height": SIDE, "Steps": 3, "Steps of the base": 2}
    for node in workflow["nodes"]:
        named = node.get("widgets_values_named", {})
        small = {"width": SIDE, "height": SIDE, "steps": 2}
        if named.get("batch_size", 1) > 2:
            small["batch_size"] = 2
        other = {name: value for name, value in small.items() if name in named}
        if node["type"] == "PrimitiveInt":
            other["value"] = named_primitives[node["title"]]
        if node["type"] == "CLIPLoader":
            node["type"] = "StandInCLIPLoader"
        if node["type"] == "CheckpointLoaderSimple" and named["ckpt_name"] is None:
            other["ckpt_name"] = STABLE_DIFFUSION
        if other:
            node["widgets_values_named"] = {**named, **other}
            node["widgets_values"] = list(node["widgets_values_named"].values())
    (report,) = (node for node in workflow["nodes"] if node["type"] == "SpatialSteeringSteeringReport")
    link, shown = workflow["last_link_id"] + 1, workflow["last_node_id"] + 1
    slot = [output["name"] for output in report["outputs"]].index("trace_json")
    report["outputs"][slot]["links"] = [link]
    workflow["links"].append([link, report["id"], slot, shown, 0, "STRING"])
    inputs = [{"name": "source", "type": "*", "link": link}]
    workflow["nodes"].append({"id": shown, "type": "PreviewAny", "mode": 0, "inputs": inputs, "outputs": []})
    return workflow


@pytest.mark.parametrize("name", sorted(WITH_FILES))
def test_workflow_runs_and_steers_on_stand_ins_for_its_files(stand_ins, comfy, tmp_path, name):
    (workflow,) = (file for file in WORKFLOWS if file.stem == name)
    small = tmp_path / workflow.name
    small.write_text(json.dumps(_small(json.loads(workflow.read_text()))))
    entry, pictures = _run(comfy, stand_ins, small)
    (pixels,) = pictures.values()
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.std() > 1
    texts = [text for output in entry["outputs"].values() for text in output.get("text", ())]
    (report,) = (json.loads(text) for text in texts if text.startswith("{"))
    assert report["relations"] == ["dog to the right of teddy bear"]
    assert report["unsteered"] == []
    assert report["note"] == ""
    # The last look may have found that nothing is left to do, or may be the next step's own.
    moved = report["trace"][:-1] or report["trace"]
    assert {entry["step"] for entry in moved} == {0}
    assert [entry["refinement"] for entry in moved] == list(range(len(moved)))
    assert all(norm > 0 for entry in moved for norm in entry["gradient_norm"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_has_a_thumbnail_and_a_note(workflow):
    with Image.open(workflow.with_suffix(".jpg")) as thumbnail:
        assert min(thumbnail.size) >= 128
    assert any(node["type"] == "MarkdownNote" for node in json.loads(workflow.read_text())["nodes"])


def test_comfy_test_gets_every_example_in_a_form_that_it_reads(tmp_path):
    comfy_test.export(tmp_path / "pack")

    assert {file.name for file in (tmp_path / "pack" / "workflows").iterdir()} == {file.name for file in WORKFLOWS}
    left_out = tomllib.loads((tmp_path / "pack" / "comfy-test.toml").read_text())["test"]["workflows"]["cpu"]
    assert left_out == sorted(f"!{name}" for name in {*WITH_FILES, TRAINS})
    for workflow in WORKFLOWS:
        nodes = json.loads((tmp_path / "pack" / "workflows" / workflow.name).read_text())["nodes"]
        kept = [node for node in json.loads(workflow.read_text())["nodes"] if node["type"] != "MarkdownNote"]
        assert nodes == [{key: value for key, value in node.items() if key != "widgets_values"} for node in kept]


def test_comfyui_finds_no_templates_but_the_examples():
    """Of the folders that its app/custom_node_manager.py looks into, the pack has this one."""
    looked_into = {"example_workflows", "example", "examples", "workflow", "workflows"}
    assert {folder for folder in looked_into if (PACK / folder).exists()} == {"example_workflows"}


def test_examples_have_titles_in_an_order():
    """The template browser shows the files' names, and sorts by them."""
    titles = [re.fullmatch(r"(\d\d) ([A-Z][^_/]+)", file.stem) for file in WORKFLOWS]
    assert all(titles), [file.stem for file in WORKFLOWS]
    assert [int(title[1]) for title in titles] == list(range(len(titles)))


def _taken(node: dict) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a node with its title, and of a sampler with what a run writes under it."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - _TITLE, x + width, y + height + (_RUN_ROOM if node["type"] in _SAMPLERS else 0)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_nodes_have_room(workflow):
    nodes = json.loads(workflow.read_text())["nodes"]
    for one, other in itertools.combinations(nodes, 2):
        (left, top, right, bottom), (to_left, to_top, to_right, to_bottom) = _taken(one), _taken(other)
        apart = right <= to_left or to_right <= left or bottom <= to_top or to_bottom <= top
        assert apart, (one["type"], other["type"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_nodes_stand_in_groups_with_titles(workflow):
    graph = json.loads(workflow.read_text())
    groups = sorted(graph["groups"], key=lambda group: group["bounding"][0])
    titles = [group["title"] for group in groups]
    assert len(groups) >= 4 and len(set(titles)) == len(titles)
    assert all(re.fullmatch(r"[A-Z][a-z, ]+", title) and title != "Group" for title in titles)
    for one, other in itertools.pairwise(groups):
        assert one["bounding"][0] + one["bounding"][2] < other["bounding"][0], (one["title"], other["title"])
    for node in graph["nodes"]:
        left, top, right, bottom = _taken(node)  # a sampler's with what a run writes under it
        around = [
            group
            for group in groups
            for x, y, width, height in [group["bounding"]]
            if x <= left and y <= top and right <= x + width and bottom <= y + height
        ]
        assert len(around) == 1, node["type"]


def _ours(server) -> dict:
    known = server.get("/object_info")
    return {name: node for name, node in known.items() if node["category"] == "Spatial Steering"}


def test_every_node_stands_in_some_workflow(server):
    used = {node["type"] for file in WORKFLOWS for node in json.loads(file.read_text())["nodes"]}
    assert used >= set(_ours(server))


def test_every_number_of_a_node_has_a_default_within_its_range(server):
    numbers = [
        (name, number, options)
        for name, node in _ours(server).items()
        for asked in node["input"].values()
        for number, (kind, *rest) in asked.items()
        for options in rest
        if kind in ("INT", "FLOAT") and "forceInput" not in options
    ]
    assert len(numbers) > 20
    assert [(node, name) for node, name, given in numbers if "default" not in given] == []
    assert [(node, name) for node, name, given in numbers if not given["min"] <= given["default"] <= given["max"]] == []


def test_nodes_are_registered_and_documented(server):
    ours = _ours(server)
    assert len(ours) == 23
    for name, node in ours.items():
        assert node["search_aliases"], name
        assert node["description"], name
        assert (PACK / "web" / "docs" / f"{name}.md").exists(), name
        for one in schema_inputs(node["input"]):
            assert one.tooltip, f"{name}.{one.name}"


def test_an_empty_window_is_refused_before_anything_runs(server):
    answer = server.queue(
        {
            "1": {
                "class_type": "SpatialSteeringSteeredKSampler",
                "inputs": {"start_percent": 0.5, "end_percent": 0.25, "update": "latent_descent"},
            },
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        }
    )
    assert "end_percent must be greater than start_percent, 0.5, not 0.25" in json.dumps(answer)
