"""The prompts by which steering is tried on a model."""

from __future__ import annotations

from ...relations.relation import CARDINAL_RELATIONS
from .suite import ScenePrompt

#: Objects of COCO that the miniatures know too.
_PAIRS = (
    ("dog", "teddy bear"),
    ("cat", "chair"),
    ("bird", "bus"),
    ("apple", "cake"),
    ("horse", "bicycle"),
    ("cup", "book"),
    ("giraffe", "airplane"),
    ("pizza", "umbrella"),
    ("clock", "couch"),
    ("elephant", "car"),
)
#: A prompt each; the four relations in turn.
VERIFICATION_PROMPTS = tuple(
    ScenePrompt(((a, CARDINAL_RELATIONS[at % len(CARDINAL_RELATIONS)], b),)) for at, (a, b) in enumerate(_PAIRS)
)
