"""The miniature's own detector, looking at its pictures."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from ..evaluation.look import Look, Sighting
from .detector import GlyphDetector
from .world import IMAGE_SIZE, OBJECTS


def look_at(pictures: Tensor) -> Look:
    """What the detector finds.

    Args:
        pictures: (batch, 3, 128, 128) in [0, 1], of the miniature.

    Raises:
        ValueError: they have another size.
    """
    if pictures.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
        height, width = pictures.shape[-2:]
        raise ValueError(
            f"picture: the miniature's own, of {IMAGE_SIZE}×{IMAGE_SIZE} pixels, was expected, not one of "
            f"{width}×{height}: its detector knows no other size."
        )
    found = [
        [Sighting(one.name, (one.x / IMAGE_SIZE, one.y / IMAGE_SIZE)) for one in picture]
        for picture in _detector().detect(pictures)
    ]
    return Look("the miniature's detector", found, frozenset(OBJECTS))


@cache
def _detector() -> GlyphDetector:
    return GlyphDetector()
