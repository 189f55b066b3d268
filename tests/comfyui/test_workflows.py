"""The example workflows in a running ComfyUI, by comfy-cli as a user runs them."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.locales import schema_inputs

PACK = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((PACK / "example_workflows").glob("*.json"))
#: Their loaders are left to choose: nothing is downloaded here.
WITH_CHECKPOINTS = {
    "flux_2_klein",
    "krea_2",
    "qwen_image",
    "stable_diffusion_1_5",
    "stable_diffusion_xl",
    "z_image_turbo",
}
#: Nodes that need no example: a layout or an edit begins where the artist does.
BY_HAND = {"SpatialSteeringSpatialRelation", "SpatialSteeringEditRelations"}


@pytest.fixture(scope="module")
def comfy():
    """comfy-cli's command."""
    beside = Path(sys.executable).with_name("comfy")
    command = str(beside) if beside.exists() else shutil.which("comfy")
    if command is None:
        pytest.skip("no comfy-cli: pip install comfy-cli")
    return command


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_runs(comfyui, server, comfy, workflow):
    if workflow.stem in WITH_CHECKPOINTS:
        pytest.skip("no checkpoint to choose")
    if workflow.stem == "train_a_classifier":
        comfyui.need_training()
    before = set(server.output.rglob("*.png"))
    done = subprocess.run(
        [
            comfy,
            "--skip-prompt",
            "run",
            "--workflow",
            str(workflow),
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
            "--wait",
            "--timeout",
            "300",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = set(server.output.rglob("*.png")) - before
    expected = sum(node["type"] == "SaveImage" for node in json.loads(workflow.read_text())["nodes"])
    assert len(pictures) == 4 * expected
    for picture in pictures:
        pixels = np.asarray(Image.open(picture))
        assert pixels.shape == (128, 128, 3)
        assert pixels.std() > 5, f"{picture.name} is blank"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_has_a_thumbnail_and_a_note(workflow):
    with Image.open(workflow.with_suffix(".jpg")) as thumbnail:
        assert min(thumbnail.size) >= 128
    assert any(node["type"] == "MarkdownNote" for node in json.loads(workflow.read_text())["nodes"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_comfy_test_runs_the_same_workflow(workflow):
    make = runpy.run_path(str(PACK / "workflows" / "make.py"))
    reduced = make["reduced"](json.loads(workflow.read_text()))
    assert json.loads(make["target"](workflow).read_text()) == reduced


def _ours(server) -> dict:
    known = server.get("/object_info")
    return {name: node for name, node in known.items() if node["category"] == "Spatial Steering"}


def test_every_node_stands_in_some_workflow(server):
    used = {node["type"] for file in WORKFLOWS for node in json.loads(file.read_text())["nodes"]}
    assert used >= set(_ours(server)) - BY_HAND


def test_nodes_are_registered_and_documented(server):
    ours = _ours(server)
    assert len(ours) == 17
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
    assert "start < end" in json.dumps(answer)
