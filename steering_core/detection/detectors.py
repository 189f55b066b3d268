"""Detectors of objects in pictures, from the transformers library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from ..files.hub import HERE, loading_from, local_folder
from ..files.weights import weights_hash
from ..relations.wording import with_article
from .boxes import Box, Found
from .names import canonical
from .segmenter import MASK2FORMER, Segmenter

#: Boxes of one name that share more than this of the smaller one are one object, found twice.
_SAME_OBJECT = 0.5
#: Of an open-vocabulary detector, whose scores are lower than those of one with fixed classes.
_OPEN_THRESHOLD, _CLOSED_THRESHOLD = 0.3, 0.5


#: Kinds of them that are tested, for help and errors.
DETECTORS = "RT-DETR, Mask2Former, OWLv2 or Grounding DINO"


class ObjectDetector(Protocol):
    """Finds named objects in a picture."""

    @property
    def description(self) -> str:
        """Tells it from others, for the manifest of a dataset."""

    def check(self, names: Sequence[str]) -> None:
        """Refuse names that it does not know.

        Raises:
            ValueError: there are some.
        """

    def find(self, picture: Image.Image, names: Sequence[str]) -> list[Found]:
        """Every object of these names, with its place, best first; under each name that its label may stand for."""


class TransformersDetector:
    """A detector of the transformers library: RT-DETR and others with fixed classes, Mask2Former by the boxes of its
    masks, OWL-ViT, OWLv2 or Grounding DINO.

    Args:
        folder: with the model, or its name in the local cache of Hugging Face; nothing is downloaded.
        device: of torch.
        least_score: what is found less surely is left out; what suits the kind of detector when not given.

    Raises:
        ValueError: there is no such folder, or the model in it is no detector, damaged, or wants Python of the folder
            to be run.
    """

    def __init__(self, folder: str, device: str, least_score: float | None = None) -> None:
        from transformers import (
            MODEL_FOR_OBJECT_DETECTION_MAPPING,
            MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING,
            AutoConfig,
            pipeline,
        )

        # Calls of it are the pipeline's or the segmenter's.
        self._look: Any

        place = local_folder(folder, "config.json")
        otherwise = f"{folder}: the folder of a detector of the transformers library was expected ({DETECTORS})"
        with loading_from(place, otherwise):
            config = AutoConfig.from_pretrained(place, **HERE)
        self._is_open = type(config) in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING
        has_masks = config.model_type == MASK2FORMER
        if not (self._is_open or has_masks or type(config) in MODEL_FOR_OBJECT_DETECTION_MAPPING):
            raise ValueError(
                f"{folder} holds a model of the kind {config.model_type}, which finds no objects. "
                f"{DETECTORS} were expected."
            )
        task = "zero-shot-object-detection" if self._is_open else "object-detection"
        with loading_from(place, f"{folder} cannot be loaded, a file is missing or damaged"):
            if has_masks:
                self._look = Segmenter(place, device)
            else:
                self._look = pipeline(task, str(place), device=device, **HERE)
        self._classes = list(config.id2label.values())
        # Grounding DINO was trained on text whose phrases end in a full stop.
        self._wording = "{}." if config.model_type.endswith("grounding-dino") else "a photo of {}"
        self._threshold = (
            (_OPEN_THRESHOLD if self._is_open else _CLOSED_THRESHOLD) if least_score is None else least_score
        )
        self.description = f"{config.model_type} {weights_hash((self._look.model,))}"
        if least_score is not None:
            self.description += f" from {least_score}"

    def check(self, names: Sequence[str]) -> None:
        """See ``ObjectDetector``; an open-vocabulary detector knows every name, one with classes also synonyms."""
        if not self._is_open:
            check_known(names, self._classes, "the detector")

    def find(self, picture: Image.Image, names: Sequence[str]) -> list[Found]:
        """See ``ObjectDetector``."""
        if self._is_open:
            names_of = {self._wording.format(with_article(name)): [name] for name in names}
            found = self._look(picture, candidate_labels=list(names_of), threshold=self._threshold)
        else:
            names_of = {label: names_for(label, names) for label in self._classes}
            found = self._look(picture, threshold=self._threshold)
        boxes = [
            Found(name, _box(one["box"], picture.size), one["score"])
            for one in sorted(found, key=lambda one: one["score"], reverse=True)
            for name in names_of[one["label"]]
        ]
        return _each_once(boxes)


def names_for(label: str, names: Sequence[str]) -> list[str]:
    """Those of the names that a detector's label stands for: a person may be the girl and the woman."""
    return [name for name in names if canonical(name) == canonical(label)]


def check_known(names: Sequence[str], known: Sequence[str], detector: str) -> None:
    """Refuse names that a detector does not know, neither as they are nor as COCO has them.

    Raises:
        ValueError: there are some.
    """
    labels = {canonical(label) for label in known}
    unknown = [name for name in names if canonical(name) not in labels]
    if unknown:
        raise ValueError(f"{detector} does not know {', '.join(unknown)}, only {', '.join(known)}.")


def _box(corners: Mapping[str, float], size: tuple[int, int]) -> Box:
    """Of corners in pixels."""
    left, top, right, bottom = (corners[name] for name in ("xmin", "ymin", "xmax", "ymax"))
    return Box.of_pixels((left, top, right - left, bottom - top), *size)


def _each_once(descending: Sequence[Found]) -> list[Found]:
    """Without the worse of two boxes that are on the same object; best first."""
    kept: list[Found] = []
    for one in descending:
        same = (better for better in kept if better.label == one.label)
        if one.box.area and not any(one.box.overlap(better.box) > _SAME_OBJECT for better in same):
            kept.append(one)
    return kept
