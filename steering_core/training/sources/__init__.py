"""Labelled pictures: which relation do two objects have in it?

Every source is a sequence of examples that can be read in any order, so that several processes
share it, and a stopped recording goes on where it was.
"""

from .clear_relation import unambiguous_relation
from .coco import coco_pictures
from .example import Example, Source
from .gqa import gqa_pictures
from .labelled import LabelledPictures
from .miniature import MiniatureScenes

__all__ = [
    "Example",
    "LabelledPictures",
    "MiniatureScenes",
    "Source",
    "coco_pictures",
    "gqa_pictures",
    "unambiguous_relation",
]
