"""The miniature's own detector, looking at its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from PIL import Image
from torch import Tensor

from ..detection.boxes import Found
from ..detection.detectors import check_known, names_for
from ..detection.look import Look
from ..pictures import from_image
from .detector import GlyphDetector
from .world import IMAGE_SIZE, OBJECTS


def look_at(pictures: Tensor, given_as: str = "picture") -> Look:
    """What the detector finds.

    Args:
        pictures: (batch, 3, 128, 128) in [0, 1], of the miniature.
        given_as: the name of the input that they came by.

    Raises:
        ValueError: they have another size.
    """
    if pictures.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
        height, width = pictures.shape[-2:]
        raise ValueError(
            f"{given_as}: the miniature's own, of {IMAGE_SIZE}×{IMAGE_SIZE} pixels, were expected, not of "
            f"{width}×{height}: its detector knows no other size. Others are looked at by a detection node such as "
            f"core's RT-DETR."
        )
    return Look("the miniature's detector", _detector().detect(pictures), frozenset(OBJECTS))


@cache
def _detector() -> GlyphDetector:
    return GlyphDetector()


class MiniatureDetector:
    """That of the miniature's world, as an ``ObjectDetector``."""

    description = "miniature"

    def check(self, names: Sequence[str]) -> None:
        """See ``ObjectDetector``."""
        check_known(names, OBJECTS, "the miniature's detector")

    def find(self, picture: Image.Image, names: Sequence[str]) -> list[Found]:
        """See ``ObjectDetector``."""
        (found,) = _detector().detect(from_image(picture)[None])
        return [replace(one, label=name) for one in found for name in names_for(one.label, names)]
