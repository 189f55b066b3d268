"""The pack's own types of links, and the category of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from comfy_api.latest import io
from PIL import Image

from ..steering_core.files.described import parse_json
from ..steering_core.pictures import from_image

CATEGORY = "Spatial Steering"

#: Carries a ``GroundedScene``.
Relations = io.Custom("RELATIONS")
#: Carries a ``SteeringLoss``.
Loss = io.Custom("STEERING_LOSS")


def loss_output() -> io.Output:
    """A loss, for whatever takes one."""
    return Loss.Output(
        display_name="steering_loss", tooltip="For Apply Spatial Steering, Steered KSampler or Combine Losses."
    )


#: Carries a ``SteeringSchedule``.
Schedule = io.Custom("STEERING_SCHEDULE")
#: Carries a ``RunLog``, which fills while samplers run.
Trace = io.Custom("STEERING_TRACE")
#: Carries ``ScoredPictures``.
Scores = io.Custom("SPATIAL_SCORES")
#: Carries a ``RelationClassifier``.
Classifier = io.Custom("RELATION_CLASSIFIER")
#: What ComfyUI's Create Bounding Boxes gives: boxes with descriptions, see ``read_elements``.
Elements = io.Custom("ARRAY")
#: Carries the folder of a dataset, a ``Path``.
Dataset = io.Custom("RELATION_DATASET")


class _SceneWidgetInput(io.WidgetInput):
    """An input whose widget the pack's own front end draws; it holds JSON, at first ``{}``, and takes no link.

    The front end sends the value, and comfy-cli the text in which a workflow keeps it: see ``held``.
    """

    def __init__(self, id: str, tooltip: str, optional: bool = False) -> None:
        super().__init__(id, optional=optional, tooltip=tooltip, default={}, socketless=True)


@io.comfytype(io_type="RELATION_EDITS")
class RelationEdits(io.ComfyTypeIO):
    """What ``read_edits`` reads; the widget is web/js/edit_relations.js."""

    Type = dict
    Input = _SceneWidgetInput


@io.comfytype(io_type="SCENE_LAYOUT")
class LayoutOfScene(io.ComfyTypeIO):
    """What ``read_layout`` reads; the widget is web/js/scene_layout.js."""

    Type = dict
    Input = _SceneWidgetInput


def held(value: Any, name: str) -> Any:
    """The value of an input that a widget of the pack holds, which may be its JSON text.

    Raises:
        ValueError: a text that is no JSON; names the input.
    """
    return parse_json(value, name) if isinstance(value, str) else value


def advanced(one: io.Input) -> io.Input:
    """The input as one that the front end may fold away. (ComfyUI's own parameter for that came with 0.9.2.)"""
    one.extra_dict["advanced"] = True
    return one


def complaint(check: Callable[[], Any]) -> bool | str:
    """What ``validate_inputs`` answers: the message of a ValueError that a check raises, or that all is well."""
    try:
        check()
    except ValueError as error:
        return str(error)
    return True


def boxes_input(optional: bool) -> io.Input:
    """What a detection node gives: for each picture a list of boxes with labels."""
    boxes = io.BoundingBox.Input(
        "boxes",
        optional=optional,
        force_input=True,
        tooltip="What a detection node, such as Run Real-Time Detection (RT-DETR), found in these pictures: boxes with "
        "labels. Those of the miniatures: from Detect Miniature Objects.",
    )
    # ComfyUI gives every input of this type a box, which comfy-cli sends where nothing is connected.
    boxes.default = None
    return boxes


def image_of(pictures: Iterable[Image.Image]) -> torch.Tensor:
    """Pictures of one size as an IMAGE, (batch, H, W, 3) in [0, 1]."""
    return torch.stack([from_image(picture).movedim(0, -1) for picture in pictures])
