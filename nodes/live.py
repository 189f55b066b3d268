"""What an artist sees of steering while a sampler node runs: marked previews, and a line of text."""

from __future__ import annotations

import math
from typing import Any

import latent_preview
from comfy.cli_args import LatentPreviewMethod, args
from comfy.latent_formats import LatentFormat
from comfy_api.latest import ComfyAPISync
from comfy_execution.utils import ExecutionContext, get_executing_context
from server import PromptServer
from torch import Tensor

from ..steering_core.parser import objects
from ..steering_core.plan import plan
from ..steering_core.relations.named import NamedObject, numbered
from ..steering_core.report.how_far import best_how_far
from ..steering_core.report.trace import TraceEntry
from ..steering_core.report.viz import mark_path, object_colour
from ..steering_core.steering import Steering

_api = ComfyAPISync()
#: The event that tells a front end, while a sampler runs, where attention last saw the objects: {"node", "run" (the
#: prompt's id), "objects": [{"name", "occurrence", "x", "y"}, …]}, x and y in [0, 1], y downward.
LOOKED = "spatial_steering.looked"
#: The event that tells a front end a line to show under a node that runs: {"node", "run", "text", "under_way"}, the
#: last of them whether another is to come. ComfyUI's own event for that names no run, and so the line would go to the
#: node of that id in whichever workflow is open.
SAID = "spatial_steering.said"
#: Longest side of a marked preview at least, in pixels.
_PREVIEW_SIDE = 256
#: Front ends take a node's text for HTML, and some put it into the page as it is; other clients take it as it is
#: written. What can begin markup, a character reference or a link is shown by a letter that looks like it.
_LOOK_ALIKES = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "&": "\N{FULLWIDTH AMPERSAND}",
        '"': "\N{RIGHT DOUBLE QUOTATION MARK}",
        "'": "\N{RIGHT SINGLE QUOTATION MARK}",
        "/": "\N{DIVISION SLASH}",
        "|": "\N{BROKEN BAR}",
        "_": "\N{FULLWIDTH LOW LINE}",
    }
)


class LiveView:
    """Says under a sampler's node what it is going to steer, at each steered step how far that has come, and in the end
    how far it came.

    The centroids are put on the sampler's preview of a steered step.

    Previews are made as ComfyUI's are, and only where it makes them.
    """

    def __init__(self) -> None:
        self._names: list[NamedObject] = []
        #: By the number of a relation, what was said of it last.
        self._verdicts: dict[int, str] = {}
        self._method: LatentPreviewMethod | None = None
        self._previewer: latent_preview.LatentPreviewer | None = None

    def begins(self, steering: Steering, steps: int) -> None:
        """See ``BeginListener``."""
        scene = steering.scene.scene
        named = numbered({*objects(scene.prompt), *scene.objects})
        self._names = [named[span] for span in scene.objects]
        self._verdicts = {}
        show_text(plan(steering, steps))

    def __call__(
        self, steering: Steering, step: int, steps: int, denoised: Tensor, latent_format: LatentFormat
    ) -> None:
        """See ``StepListener``."""
        node = get_executing_context()
        if node is None:
            return
        scene = steering.scene
        last = next((entry for entry in reversed(steering.trace) if entry.step == step), None)
        verdicts = {
            number: f"{scene.describe(relation)}: {best_how_far(last.stands(relation), last.met_by(number).tolist())}"
            for number, relation in enumerate(scene.relations)
            if last and number in last.relations
        }
        self._verdicts |= verdicts
        lines = [*verdicts.values()]
        lines += [f"not steered, {left_out.reason}" for left_out in steering.unsteered if left_out.step == step]
        show_text(f"step {step + 1} of {steps} · {', '.join(lines)}", under_way=True)
        if last is None:
            return
        self._show_looks(last, node)
        if self._method != args.preview_method:  # a previewer can be a network, and is loaded once
            self._method = args.preview_method
            self._previewer = latent_preview.get_previewer(denoised.device, latent_format)
        if self._previewer is None:
            return
        picture = self._previewer.decode_latent_to_preview(denoised)
        # A preview can be as small as the latent, and a mark would cover it.
        enlarged = max(1, -(-_PREVIEW_SIDE // max(picture.size)))
        picture = picture.resize((picture.width * enlarged, picture.height * enlarged))
        for number in range(len(steering.scene.names)):
            mark_path(picture, last.centroids[:1, number], object_colour(number))
        _api.execution.set_progress(step + 1, steps, node.node_id, picture)

    def ended(self) -> None:
        """See ``EndListener``."""
        verdicts, self._verdicts = self._verdicts, {}
        if verdicts:
            show_text(", ".join(verdicts.values()))

    def _show_looks(self, last: TraceEntry, node: ExecutionContext) -> None:
        """Tell the canvases before a sampler where attention saw the objects of the first picture."""
        seen = [
            {**named._asdict(), "x": x, "y": y}
            for named, (x, y) in zip(self._names, last.centroids[0].tolist())
            if math.isfinite(x + y)
        ]
        _tell(LOOKED, node, objects=seen)


def show_text(text: str, under_way: bool = False) -> None:
    """A line under the node that is being executed, for the client that runs it; nothing outside a graph.

    Args:
        under_way: more is to come.
    """
    if node := get_executing_context():
        _tell(SAID, node, text=text.translate(_LOOK_ALIKES), under_way=under_way)


def _tell(event: str, node: ExecutionContext, **told: Any) -> None:
    """Tell of a node that is being executed the client that runs it; a script need not be one, and then nobody."""
    server = PromptServer.instance
    # To no client in particular is to all, whose workflows can have other nodes of the same ids.
    if server.client_id is not None:
        server.send_sync(event, {"node": node.node_id, "run": node.prompt_id, **told}, server.client_id)
