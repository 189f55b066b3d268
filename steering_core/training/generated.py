"""Pictures that the model draws itself, labelled by a detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..described import one_line
from ..hub import local_folder
from ..miniature.detector import GlyphDetector
from ..miniature.world import OBJECTS
from ..relations import CARDINAL_RELATIONS, relation_scene, with_article
from ..viz import from_image
from .recording import weights_hash
from .sources import Box, Example, unambiguous_relation

#: Draws a prompt with a seed.
Draw = Callable[[str, int], Image.Image]

#: For so many pictures the wanted relation is waited for; after that any that is beyond dispute serves.
_PATIENCE = 25
#: A model that draws two objects beyond dispute less than once in so many pictures is as good as none.
_MOST_TRIES = 250
#: Boxes of one name that share more than this of the smaller one are one object, found twice.
_SAME_OBJECT = 0.5
#: Of an open-vocabulary detector, whose scores are lower than those of one with fixed classes.
_OPEN_THRESHOLD, _CLOSED_THRESHOLD = 0.3, 0.5


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

    def find(self, picture: Image.Image, names: Sequence[str]) -> list[tuple[str, Box]]:
        """Every object of these names, with its place."""


class MiniatureDetector:
    """The detector of the miniature's world."""

    description = "miniature"

    def __init__(self) -> None:
        self._detector = GlyphDetector()

    def check(self, names: Sequence[str]) -> None:
        """See ``ObjectDetector``."""
        _check_known(names, OBJECTS, "the miniature's detector")

    def find(self, picture: Image.Image, names: Sequence[str]) -> list[tuple[str, Box]]:
        """See ``ObjectDetector``."""
        pixels = from_image(picture)[None]
        width, height = picture.size
        return [
            (
                found.name,
                Box(
                    (found.x - found.width / 2) / width,
                    (found.y - found.height / 2) / height,
                    found.width / width,
                    found.height / height,
                ),
            )
            for found in self._detector.detect(pixels)[0]
            if found.name in names
        ]


class TransformersDetector:
    """A detector of the transformers library: RT-DETR and others with fixed classes, OWLv2 or Grounding DINO.

    Args:
        folder: with the model, or its name in the local cache of Hugging Face; nothing is downloaded.
        device: of torch.

    Raises:
        ValueError: there is no such folder, or the model in it is no detector or damaged.
    """

    def __init__(self, folder: str, device: str) -> None:
        from transformers import (
            MODEL_FOR_OBJECT_DETECTION_MAPPING,
            MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING,
            AutoConfig,
            pipeline,
        )

        place = local_folder(folder, "config.json")
        try:
            config = AutoConfig.from_pretrained(place, local_files_only=True)
        except Exception as error:  # a damaged configuration ends in whatever its class makes of it
            raise ValueError(
                f"--detector {folder}: miniature, or the folder of a detector of the transformers library, was "
                f"expected. {one_line(error)}"
            ) from error
        self._is_open = type(config) in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING
        if not self._is_open and type(config) not in MODEL_FOR_OBJECT_DETECTION_MAPPING:
            raise ValueError(
                f"--detector {folder} holds a model of the kind {config.model_type}, which finds no objects. RT-DETR, "
                f"OWLv2 or Grounding DINO were expected."
            )
        task = "zero-shot-object-detection" if self._is_open else "object-detection"
        try:
            self._pipeline = pipeline(task, str(place), device=device, local_files_only=True)
        except Exception as error:  # so do damaged weights
            raise ValueError(
                f"--detector {folder} cannot be loaded, a file is missing or damaged: {one_line(error)}"
            ) from error
        self._classes = list(config.id2label.values())
        # Grounding DINO was trained on text whose phrases end in a full stop.
        self._wording = "{}." if config.model_type.endswith("grounding-dino") else "a photo of {}"
        self.description = f"{config.model_type} {weights_hash((self._pipeline.model,))}"

    def check(self, names: Sequence[str]) -> None:
        """See ``ObjectDetector``; an open-vocabulary detector knows every name."""
        if not self._is_open:
            _check_known(names, self._classes, "the detector")

    def find(self, picture: Image.Image, names: Sequence[str]) -> list[tuple[str, Box]]:
        """See ``ObjectDetector``."""
        if self._is_open:
            name_of = {self._wording.format(with_article(name)): name for name in names}
            found = self._pipeline(picture, candidate_labels=list(name_of), threshold=_OPEN_THRESHOLD)
        else:
            name_of = {name: name for name in names}
            found = self._pipeline(picture, threshold=_CLOSED_THRESHOLD)
        ascending = sorted(found, key=lambda one: one["score"])
        boxes = [
            (name_of[one["label"]], _box(one["box"], picture.size)) for one in ascending if one["label"] in name_of
        ]
        return _each_once(boxes[::-1])


@dataclass(frozen=True)
class GeneratedPictures:
    """Pictures that a model draws of "A … B", with the relation that the detector sees in them.

    Each index wants one of the four relations, in turn, and draws until a picture shows it beyond
    dispute, with each of the two objects once; where that takes long, another relation will do.

    Attributes:
        draw: draws a prompt.
        detector: labels.
        objects: names of which two are drawn at a time.
        count: how many pictures.
        seed: of names and pictures.
        told: what the manifest says of the drawing, in plain values.

    Raises:
        ValueError: there are fewer than two objects, or the detector does not know one.
    """

    draw: Draw
    detector: ObjectDetector
    objects: tuple[str, ...]
    count: int
    seed: int
    told: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not 1 < len(self.objects) == len(set(self.objects)):
            raise ValueError(f"Two or more different objects were expected, not {', '.join(self.objects)}.")
        self.detector.check(self.objects)

    @property
    def description(self) -> dict[str, Any]:
        """See ``Source``."""
        return {
            "kind": "generated",
            "objects": list(self.objects),
            "detector": self.detector.description,
            "count": self.count,
            "seed": self.seed,
            **self.told,
        }

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng((self.seed, 10, index))
        wanted = CARDINAL_RELATIONS[index % len(CARDINAL_RELATIONS)]
        spare = None
        for number in range(_MOST_TRIES):
            subject, object = (self.objects[position] for position in rng.permutation(len(self.objects))[:2])
            picture = self.draw(relation_scene(subject, wanted, object).prompt, int(rng.integers(2**32)))
            found = self.detector.find(picture, (subject, object))
            boxes = dict(found)
            if len(found) == len(boxes) == 2:
                relation = unambiguous_relation(boxes[subject], boxes[object])
                if relation is not None and (spare is None or relation is wanted):
                    spare = Example(f"{index:07d}", picture, subject, relation, object)
            if spare is not None and (spare.relation is wanted or number >= _PATIENCE):
                return spare
        raise ValueError(
            f"In {_MOST_TRIES} pictures of two of {', '.join(self.objects)}, the detector found none with both in a "
            f"relation beyond dispute. Choose objects that the model draws well and the detector knows."
        )


def _check_known(names: Sequence[str], known: Sequence[str], detector: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"--objects: {detector} does not know {', '.join(unknown)}, only {', '.join(known)}.")


def _box(corners: Mapping[str, float], size: tuple[int, int]) -> Box:
    """Corners in pixels to shares of the picture's sides; what lies beyond them is cut off."""
    sides = {"x": size[0], "y": size[1]}
    left, top, right, bottom = (
        min(max(corners[name] / sides[name[0]], 0.0), 1.0) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    return Box(left, top, right - left, bottom - top)


def _each_once(descending: Sequence[tuple[str, Box]]) -> list[tuple[str, Box]]:
    """Without the worse of two boxes that are on the same object; best first."""
    kept: list[tuple[str, Box]] = []
    for name, box in descending:
        if box.area and not any(name == other and box.overlap(better) > _SAME_OBJECT for other, better in kept):
            kept.append((name, box))
    return kept
