"""Prompts of a few plain words, which the parser's rules read without a fault."""

from __future__ import annotations

import random
from collections.abc import Iterator

from steering_core.detection.names import COCO_NAMES
from steering_core.miniature.world import OBJECTS

WORDINGS = (
    *("above", "over", "atop", "on top of", "directly above", "high above", "hovering over", "is above", "on"),
    *("below", "under", "underneath", "beneath", "just below", "is placed under", "directly beneath"),
    *("left of", "to the left of", "on the left of", "on the left side of", "is to the left of", "to the far left of"),
    *("right of", "to the right of", "on the right of", "on the right side of", "is to the right of"),
    *("next to", "near", "beside", "close to", "adjacent to", "alongside", "by the side of", "is right next to"),
    *("in front of", "behind", "right behind", "standing in front of"),
    *("above and to the left of", "above-left of", "to the upper left of", "to the top left of", "above left of"),
    *("above and to the right of", "above-right of", "to the upper right of", "on the upper right of", "top right of"),
    *("below and to the left of", "below-left of", "to the lower left of", "bottom left of", "under and left of"),
    *("below and to the right of", "below-right of", "to the lower right of", "bottom right of"),
)
#: With "{}" for things, and "<>" for wordings.
FORMS = (
    *("{} <> {}", "{} <> {}", "{} <> {}", "a photo of {} <> {}", "a photo of {} <> {}", "{} <> {}, oil painting"),
    *("{} <> {} and {} <> {}", "{} <> {} and <> {}", "{} <> {}, {} <> {}", "{} <> {}, <> {}", "{} and {} <> {}"),
    *("a photo of {} and {} <> {}", "{} <> {} <> {}", "a photo of {} <> {} <> {}", "{}, {} and {} <> {}"),
    *("{} <> {} and {}", "There is {} <> {}.", "{} <> {}. {} <> {}.", "<> {} is {}", "{} that is <> {}"),
    *("{} between {} and {}", "{} on the left and {} on the right", "{} left, {} right", "{} in the center, {} <> it"),
    *("{} in the upper left corner, {} in the lower right corner", "{} at the top, {} at the bottom"),
    *("{} with {} above it", "{} with {} to its left and {} to its right", "{} and {}", "{} in {}", "{}, {}, {}"),
)
_ARTICLES = ("a", "a", "a", "the", "one", "")
_ADJECTIVES = ("red", "small", "purple", "wooden", "huge", "old", "shiny", "white", "", "", "", "", "", "")
#: How often a thing is another of the one before.
_SAME = 0.08


def simple_prompts(count: int, seed: int) -> Iterator[str]:
    """So many, composed at random."""
    order = random.Random(seed)
    names = (*COCO_NAMES, *OBJECTS)
    for _ in range(count):
        prompt, name = order.choice(FORMS), order.choice(names)
        while "{}" in prompt:
            name = name if order.random() < _SAME else order.choice(names)
            thing = " ".join(filter(None, (order.choice(_ARTICLES), order.choice(_ADJECTIVES), name)))
            prompt = prompt.replace("{}", thing, 1)
        while "<>" in prompt:
            prompt = prompt.replace("<>", order.choice(WORDINGS), 1)
        yield prompt
