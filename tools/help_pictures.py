"""Draws the pictures of the help pages: for each node a small graph with it, as ComfyUI's front end shows it.

    python -m tools.help_pictures http://127.0.0.1:8188 [NODE_ID …]

Needs playwright, Chromium on the PATH, and a freshly started ComfyUI with this pack: nodes whose results are cached
show less.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import FloatRect, Page

from tools.command import command_line
from tools.front_end import OWN, RUN, SETTLE_MILLISECONDS, front_end

PICTURES = Path(__file__).resolve().parents[1] / "web" / "docs" / "images"
_WIDTH, _QUALITY = 900, 80
_MARGIN = 28

_MINIATURE = {"size": 128, "steps": 12, "method": "noise"}
_FIXED = {"seed": 2, "control_after_generate": "fixed", "steps": 16, "cfg": 5.0}


class _Node(NamedTuple):
    """A node of a graph: its type, the least width and height, and values of its widgets."""

    type: str
    size: tuple[int, int] = (0, 0)
    values: dict[str, Any] | None = None


class _Graph(NamedTuple):
    """A picture: names of nodes, column by column, and links ``NODE.OUTPUT NODE.INPUT``.

    Attributes:
        behind: names of nodes that are needed and not shown.
        run: whether the graph is run first, for what its nodes show then.
    """

    columns: tuple[str, ...]
    links: tuple[str, ...]
    behind: str = ""
    run: bool = False


_NODES = {
    "mini": _Node(f"{OWN}LoadMiniatureModel", (220, 0)),
    "prompt": _Node(f"{OWN}SpatialPrompt", (400, 540), {"text": "a giraffe above an airplane"}),
    "parser": _Node(f"{OWN}RelationParser", (320, 170), {"text": "a giraffe above an airplane"}),
    "plain": _Node(f"{OWN}RelationParser", (300, 170), {"text": "a dog and a cat"}),
    "two": _Node("EmptyLatentImage", (240, 0), {"width": 128, "height": 128, "batch_size": 2}),
    "four": _Node(f"{OWN}RelationParser", (300, 170), {"text": "a cat to the left of a dog, a boat above a car"}),
    "relation": _Node(f"{OWN}SpatialRelation", (280, 0), {"subject": "dog", "relation": "left_of", "object": "cat"}),
    "edit": _Node(f"{OWN}EditRelations", (400, 180), {"edits": {"relations": [
        {"subject": "cat", "relation": "left_of", "object": "dog", "wanted": "left_of", "on": False},
        {"subject": "boat", "relation": "above", "object": "car", "wanted": "above_left", "on": True},
    ]}}),
    "layout": _Node(f"{OWN}SceneLayout", (380, 440), {"layout": {"relations": [
        [0, "at_bottom_left", None], [2, "at_top_left", None], [0, "left_of", 1], [2, "above_left", 3],
    ], "objects": [
        {"name": "cat", "occurrence": 0, "x": 0.1, "y": 0.9},
        {"name": "dog", "occurrence": 0, "x": 0.8, "y": 0.85},
        {"name": "boat", "occurrence": 0, "x": 0.15, "y": 0.1},
        {"name": "car", "occurrence": 0, "x": 0.75, "y": 0.45},
    ]}}),
    "canvas": _Node("CreateBoundingBoxes", (300, 0), {"width": 512, "height": 512, "editor_state": [
        {"x": 24, "y": 40, "width": 170, "height": 170, "metadata": {"type": "obj", "desc": "dog", "palette": []}},
        {"x": 320, "y": 300, "width": 160, "height": 180, "metadata": {"type": "obj", "desc": "cat", "palette": []}},
    ]}),
    "boxed": _Node(f"{OWN}BoundingBoxesToPlaces", (280, 0)),
    "corners": _Node(f"{OWN}RelationParser", (320, 170), {
        "text": "a dog in the upper left corner and a cat in the lower right corner",
    }),
    "areas": _Node(f"{OWN}AreasOfObjects", (260, 0), {"width": 256, "height": 256}),
    "draw": _Node("DrawBBoxes", (220, 0)),
    "centroid": _Node(f"{OWN}CentroidLoss", (320, 0)),
    "presence": _Node(f"{OWN}PresenceLoss", (320, 0), {"weight": 0.5}),
    "load": _Node(f"{OWN}LoadRelationClassifier", (340, 0), {"classifier_name": "miniature.safetensors"}),
    "learned": _Node(f"{OWN}LearnedRelationLoss", (300, 0)),
    "combine": _Node(f"{OWN}CombineLosses", (240, 0)),
    "record": _Node(f"{OWN}RecordRelationMaps", (320, 0), {"name": "training", **_MINIATURE}),
    "record2": _Node(f"{OWN}RecordRelationMaps", (320, 0), {"name": "validation", "seed": 1, **_MINIATURE}),
    "train": _Node(f"{OWN}TrainRelationClassifier", (320, 0), {"width": 64}),
    "schedule": _Node(f"{OWN}SteeringSchedule", (320, 0)),
    "apply": _Node(f"{OWN}ApplySpatialSteering", (280, 0)),
    "steered": _Node(f"{OWN}SteeredKSampler", (300, 0), _FIXED),
    "maps": _Node(f"{OWN}TokenMapPreview", (640, 420)),
    "report": _Node(f"{OWN}SteeringReport", (520, 640)),
    "detect": _Node(f"{OWN}DetectMiniatureObjects", (260, 0)),
    "score": _Node(f"{OWN}SpatialScore", (440, 400)),
    "keep": _Node(f"{OWN}KeepBest", (260, 0), {"count": 1}),
    "negative": _Node("CLIPTextEncode", (320, 110), {"text": ""}),
    "latent": _Node("EmptyLatentImage", (240, 0), {"width": 128, "height": 128}),
    "ksampler": _Node("KSampler", (280, 0), _FIXED),
    "decode": _Node("VAEDecode", (240, 0)),
    "picture": _Node("PreviewImage", (240, 290)),
    "words": _Node("PreviewAny", (300, 150)),
    "long": _Node("PreviewAny", (400, 220)),
}  # fmt: skip

_ENCODED = ("mini.CLIP parser.clip", "mini.CLIP negative.clip")
_STEERED = (
    *_ENCODED,
    "mini.MODEL steered.model",
    "parser.CONDITIONING steered.positive",
    "negative.CONDITIONING steered.negative",
    "latent.LATENT steered.latent_image",
    "parser.relations steered.relations",
    "centroid.steering_loss steered.steering_loss",
)
_SCORED = (
    *(link.replace("latent.LATENT", "two.LATENT") for link in _STEERED),
    "steered.LATENT decode.samples",
    "mini.VAE decode.vae",
    "decode.IMAGE detect.images",
    "decode.IMAGE score.images",
    "parser.relations score.relations",
    "detect.boxes score.boxes",
)
_BEHIND_STEERED = "mini parser negative latent centroid"


def _recorded(node: str) -> tuple[str, ...]:
    return tuple(f"mini.{output} {node}.{output.lower()}" for output in ("MODEL", "CLIP", "VAE"))


_GRAPHS = {
    "LoadMiniatureModel": _Graph(("mini", "parser negative"), _ENCODED),
    "SpatialPrompt": _Graph(
        ("mini", "prompt", "ksampler", "decode picture"),
        (
            "mini.MODEL prompt.model",
            "mini.CLIP prompt.clip",
            "mini.CLIP negative.clip",
            "prompt.MODEL ksampler.model",
            "prompt.CONDITIONING ksampler.positive",
            "negative.CONDITIONING ksampler.negative",
            "latent.LATENT ksampler.latent_image",
            "ksampler.LATENT decode.samples",
            "mini.VAE decode.vae",
            "decode.IMAGE picture.images",
        ),
        behind="negative latent",
        run=True,
    ),
    "RelationParser": _Graph(("mini", "four", "words"), ("mini.CLIP four.clip", "four.summary words.source"), run=True),
    "SpatialRelation": _Graph(
        ("plain", "relation", "words"),
        ("mini.CLIP plain.clip", "plain.relations relation.relations", "relation.summary words.source"),
        behind="mini",
        run=True,
    ),
    "EditRelations": _Graph(
        ("four", "edit", "words"),
        ("mini.CLIP four.clip", "four.relations edit.relations", "edit.summary words.source"),
        behind="mini",
        run=True,
    ),
    "SceneLayout": _Graph(
        ("four", "layout", "words"),
        ("mini.CLIP four.clip", "four.relations layout.relations", "layout.summary words.source"),
        behind="mini",
        run=True,
    ),
    "BoundingBoxesToPlaces": _Graph(
        ("plain canvas", "boxed words"),
        (
            "mini.CLIP plain.clip",
            "plain.relations boxed.relations",
            "canvas.elements boxed.elements",
            "boxed.summary words.source",
        ),
        behind="mini",
        run=True,
    ),
    "AreasOfObjects": _Graph(
        ("corners", "areas", "draw picture"),
        (
            "mini.CLIP corners.clip",
            "corners.relations areas.relations",
            "areas.bboxes draw.bboxes",
            "draw.out_image picture.images",
        ),
        behind="mini",
        run=True,
    ),
    "CentroidLoss": _Graph(("centroid", "apply"), ("centroid.steering_loss apply.steering_loss",)),
    "PresenceLoss": _Graph(
        ("presence centroid", "combine"),
        ("presence.steering_loss combine.loss0", "centroid.steering_loss combine.loss1"),
    ),
    "LoadRelationClassifier": _Graph(
        ("load", "learned long"), ("load.classifier learned.classifier", "load.summary long.source"), run=True
    ),
    "LearnedRelationLoss": _Graph(
        ("load", "learned", "apply"),
        ("load.classifier learned.classifier", "learned.steering_loss apply.steering_loss"),
    ),
    "CombineLosses": _Graph(
        ("centroid presence", "combine", "apply"),
        (
            "centroid.steering_loss combine.loss0",
            "presence.steering_loss combine.loss1",
            "combine.steering_loss apply.steering_loss",
        ),
    ),
    "RecordRelationMaps": _Graph(("mini", "record", "train"), (*_recorded("record"), "record.dataset train.training")),
    "TrainRelationClassifier": _Graph(
        ("record record2", "train", "learned"),
        (
            *_recorded("record"),
            *_recorded("record2"),
            "record.dataset train.training",
            "record2.dataset train.validation",
            "train.classifier learned.classifier",
        ),
        behind="mini",
    ),
    "SteeringSchedule": _Graph(("schedule", "apply"), ("schedule.steering_schedule apply.steering_schedule",)),
    "ApplySpatialSteering": _Graph(
        ("parser centroid", "apply", "ksampler"),
        (
            "mini.CLIP parser.clip",
            "mini.MODEL apply.model",
            "parser.relations apply.relations",
            "centroid.steering_loss apply.steering_loss",
            "apply.MODEL ksampler.model",
            "parser.CONDITIONING ksampler.positive",
        ),
        behind="mini",
    ),
    "SteeredKSampler": _Graph(
        ("parser centroid", "steered", "decode picture"),
        (*_STEERED, "steered.LATENT decode.samples", "mini.VAE decode.vae", "decode.IMAGE picture.images"),
        behind="mini negative latent",
        run=True,
    ),
    "TokenMapPreview": _Graph(
        ("steered", "maps"),
        (*_STEERED, "steered.steering_trace maps.steering_trace", "steered.LATENT maps.latent", "mini.VAE maps.vae"),
        behind=_BEHIND_STEERED,
        run=True,
    ),
    "SteeringReport": _Graph(
        ("steered", "decode report"),
        (
            *_STEERED,
            "steered.steering_trace report.steering_trace",
            "steered.LATENT report.latent",
            "steered.LATENT decode.samples",
            "mini.VAE decode.vae",
            "decode.IMAGE report.picture",
        ),
        behind=_BEHIND_STEERED,
        run=True,
    ),
    "DetectMiniatureObjects": _Graph(
        ("decode", "detect", "score"),
        _SCORED,
        behind="mini parser negative two centroid steered",
    ),
    "SpatialScore": _Graph(
        ("parser decode", "detect", "score", "long"),
        (*_SCORED, "score.report long.source"),
        behind="mini negative two centroid steered",
        run=True,
    ),
    "KeepBest": _Graph(
        ("decode", "score", "keep", "picture"),
        (*_SCORED, "decode.IMAGE keep.images", "score.scores keep.scores", "keep.IMAGE picture.images"),
        behind="mini parser negative two centroid steered detect",
        run=True,
    ),
}

_BUILD = """([nodes, links]) => {
    app.clean()
    const made = {}
    for (const [name, [type, size, values]] of nodes) {
        const node = made[name] = LiteGraph.createNode(type)
        app.graph.add(node)
        for (const [key, value] of Object.entries(values ?? {})) {
            const widget = node.widgets.find(w => w.name.split(".").at(-1) === key)
            widget.value = value
            widget.callback?.(value, app.canvas, node)
        }
        node.setSize(node.computeSize().map((least, axis) => Math.max(least, size[axis])))
    }
    const slot = (slots, name) => slots.findIndex(s => s.name.split(".").at(-1) === name)
    for (const [from, output, to, input] of links) {
        made[from].connect(slot(made[from].outputs, output), made[to], slot(made[to].inputs, input))
    }
    window.helpPicture = made
}"""
_ARRANGE = """([columns, behind]) => {
    const made = window.helpPicture
    const GAP_X = 70, GAP_Y = 60, TITLE = 30
    let x = 0, bottom = 0
    for (const column of columns) {
        let y = TITLE
        for (const node of column.map(name => made[name])) {
            node.pos = [x, y]
            y += node.size[1] + GAP_Y
        }
        x += Math.max(...column.map(name => made[name].size[0])) + GAP_X
        bottom = Math.max(bottom, y - GAP_Y)
    }
    behind.forEach((name, index) => made[name].pos = [-3000, index * 400])
    app.canvas.deselectAll()
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [150, 150]
    app.canvas.setDirty(true, true)
    const box = app.canvas.canvas.getBoundingClientRect()
    return {x: box.x + 150, y: box.y + 150, width: x - GAP_X, height: bottom}
}"""


def _take(page: Page, graph: _Graph) -> Image.Image:
    columns, behind = [column.split() for column in graph.columns], graph.behind.split()
    names = [name for column in [*columns, behind] for name in column]
    links = [[*start.split("."), *end.split(".")] for start, end in map(str.split, graph.links)]
    page.evaluate(_BUILD, [[(name, _NODES[name]) for name in names], links])
    page.evaluate(_ARRANGE, [columns, behind])
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    if graph.run:
        page.evaluate(RUN)
        page.wait_for_timeout(SETTLE_MILLISECONDS)
    frame = page.evaluate(_ARRANGE, [columns, behind])
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    picture = Image.open(io.BytesIO(page.screenshot(clip=_with_margin(frame)))).convert("RGB")
    picture.thumbnail((_WIDTH, picture.height), Image.Resampling.LANCZOS)
    return picture


def _with_margin(frame: Mapping[str, float]) -> FloatRect:
    """A rectangle on the page, with room around it."""
    return {
        "x": frame["x"] - _MARGIN,
        "y": frame["y"] - _MARGIN,
        "width": frame["width"] + 2 * _MARGIN,
        "height": frame["height"] + 2 * _MARGIN,
    }


def main(url: str, nodes: list[str]) -> None:
    """Draw the pictures of these nodes, or of all."""
    PICTURES.mkdir(exist_ok=True)
    with front_end(url) as page:
        for node in nodes or [OWN + name for name in _GRAPHS]:
            _take(page, _GRAPHS[node.removeprefix(OWN)]).save(PICTURES / f"{node}.jpg", quality=_QUALITY)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("url", help="of a running ComfyUI")
    parser.add_argument("nodes", metavar="NODE_ID", nargs="*", help="whose pictures to draw (default: all)")
    options = parser.parse_args()
    main(options.url, options.nodes)
