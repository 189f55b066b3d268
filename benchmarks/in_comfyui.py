"""Pictures that a running ComfyUI draws on a miniature with core's area conditioning.

The server has this pack in its custom_nodes. The whole prompt is put together with one Conditioning (Set
Area with Percentage) of strength 1 for each object, "a photo of a dog" in the half of the canvas where the dog belongs.
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from steering_core.areas import part_towards
from steering_core.detection.boxes import Box
from steering_core.evaluation.suites import ScenePrompt
from steering_core.miniature.world import IMAGE_SIZE
from steering_core.pictures import from_image
from steering_core.relations.relation import Relation
from steering_core.relations.wording import with_article

#: Shape and scheduler of each miniature, as the example workflows have them.
_SHAPES = {"miniature": ("Stable Diffusion", "normal"), "flux_miniature": ("FLUX", "simple")}
_MOST_SECONDS, _BETWEEN = 600, 0.05


class ComfyUI:
    """A running server.

    Args:
        address: such as "http://127.0.0.1:8188".

    Raises:
        ValueError: no server with this pack answers there.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        try:
            nodes = json.loads(self._read("/object_info"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{address}: a running ComfyUI was expected there: {error}") from error
        if _pack_node("LoadMiniatureModel") not in nodes:
            raise ValueError(f"{address}: a ComfyUI with this pack in its custom_nodes was expected.")

    def draw(self, model: str, steps: int, scale: float, prompt: ScenePrompt, seeds: Sequence[int]) -> Tensor:
        """A picture of the prompt for each seed: (seeds, 3, 128, 128) in [0, 1].

        Args:
            model: a miniature, by its name.
            scale: of the guidance.
            prompt: of one relation, whose objects have a half of the canvas each.

        Raises:
            RuntimeError: ComfyUI refuses or fails; says what it says.
            OSError: it cannot be reached.
        """
        outputs = self._run(graph(model, prompt, seeds, steps, scale))
        files = [outputs[f"shown_{seed}"]["images"][0] for seed in seeds]
        return torch.stack([from_image(self._picture(file)) for file in files])

    def _run(self, nodes: dict[str, Any]) -> dict[str, Any]:
        """The outputs of a graph in API format."""
        body = json.dumps({"prompt": nodes}).encode()
        try:
            queued = json.loads(self._read("/prompt", body))["prompt_id"]
        except urllib.error.HTTPError as refusal:
            raise RuntimeError(f"ComfyUI refuses the graph: {refusal.read().decode()[:2000]}") from refusal
        deadline = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < deadline:
            entry = json.loads(self._read(f"/history/{queued}")).get(queued)
            if entry is None:
                time.sleep(_BETWEEN)
            elif entry["status"]["status_str"] != "success":
                raise RuntimeError(f"ComfyUI fails: {json.dumps(entry['status'])[:2000]}")
            else:
                return entry["outputs"]
        raise RuntimeError(f"ComfyUI drew nothing in {_MOST_SECONDS} s.")

    def _picture(self, file: dict[str, str]) -> Image.Image:
        with Image.open(io.BytesIO(self._read(f"/view?{urllib.parse.urlencode(file)}")), formats=["PNG"]) as picture:
            return picture.convert("RGB")

    def _read(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self._address}{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_MOST_SECONDS) as answer:
            return answer.read()


def graph(model: str, prompt: ScenePrompt, seeds: Sequence[int], steps: int, scale: float) -> dict[str, Any]:
    """A KSampler of core for each seed, in API format; what seed 3 draws is shown by the node "shown_3"."""
    shape, scheduler = _SHAPES[model]
    nodes = {
        "model": _node(_pack_node("LoadMiniatureModel"), shape=shape),
        "whole": _node("CLIPTextEncode", clip=["model", 1], text=prompt.text),
        "negative": _node("CLIPTextEncode", clip=["model", 1], text=""),
        "empty": _node("EmptyLatentImage", width=IMAGE_SIZE, height=IMAGE_SIZE, batch_size=1),
    }
    positive = "whole"
    for name, box in _halves(prompt).items():
        alone = f"a photo of {with_article(name)}"
        nodes[f"alone {name}"] = _node("CLIPTextEncode", clip=["model", 1], text=alone)
        place = {"width": box.width, "height": box.height, "x": box.left, "y": box.top, "strength": 1.0}
        nodes[f"area {name}"] = _node("ConditioningSetAreaPercentage", conditioning=[f"alone {name}", 0], **place)
        together = {"conditioning_1": [positive, 0], "conditioning_2": [f"area {name}", 0]}
        nodes[positive := f"with {name}"] = _node("ConditioningCombine", **together)
    for seed in seeds:
        nodes[f"sampler_{seed}"] = _node(
            "KSampler",
            model=["model", 0],
            seed=seed,
            steps=steps,
            cfg=scale,
            sampler_name="euler",
            scheduler=scheduler,
            positive=[positive, 0],
            negative=["negative", 0],
            latent_image=["empty", 0],
            denoise=1.0,
        )
        nodes[f"decoded_{seed}"] = _node("VAEDecode", samples=[f"sampler_{seed}", 0], vae=["model", 2])
        nodes[f"shown_{seed}"] = _node("PreviewImage", images=[f"decoded_{seed}", 0])
    return nodes


def _halves(prompt: ScenePrompt) -> dict[str, Box]:
    """Where each of the two objects of a prompt with one relation belongs: a half of the canvas, by their names."""
    ((subject, relation, object),) = prompt.relations
    assert isinstance(relation, Relation) and object is not None
    return {subject: part_towards(*relation.direction), object: part_towards(*relation.inverse.direction)}


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _pack_node(name: str) -> str:
    return f"SpatialSteering{name}"
