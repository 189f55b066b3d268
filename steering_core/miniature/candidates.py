"""Candidates for an object in a picture, of which the best of each place is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..detection.boxes import Box, Found
from .world import IMAGE_SIZE, OBJECTS

#: Boxes are at the same place if they share more than this much of the smaller one.
_SAME_PLACE = 0.35


@dataclass(frozen=True)
class Candidates:
    """Possible detections.

    Attributes:
        picture, glyph: their indices, (K,).
        box: the centre's x and y, width and height, in pixels, (K, 4).
        score: a cosine, (K,).
    """

    picture: Tensor
    glyph: Tensor
    box: Tensor
    score: Tensor

    def __getitem__(self, chosen: Tensor) -> Candidates:
        return Candidates(self.picture[chosen], self.glyph[chosen], self.box[chosen], self.score[chosen])


def best_of_places(candidates: Candidates, lead: float = 0.0) -> Candidates:
    """Greedy non-maximum suppression across glyphs, best first.

    Args:
        lead: a candidate falls to a better one at the same place whose score is higher by this much.
    """
    candidates = candidates[candidates.score.argsort(descending=True, stable=True)]
    ahead = candidates.score[:, None] - candidates.score >= lead
    falls = (_overlap(candidates) & ahead).triu(1).cpu().numpy()
    kept = np.ones(len(falls), bool)
    for index, falling in enumerate(falls):
        if kept[index]:
            kept[falling] = False
    return candidates[torch.from_numpy(kept)]


def _overlap(candidates: Candidates) -> Tensor:
    """Which pairs of candidates are at the same place of the same picture: (K, K)."""
    centre, size = candidates.box.split(2, dim=1)
    start, end = centre - size / 2, centre + size / 2
    shared = (torch.minimum(end[:, None], end) - torch.maximum(start[:, None], start)).clamp_min(0).prod(dim=-1)
    area = size.prod(dim=-1)
    same_picture = candidates.picture[:, None] == candidates.picture
    return same_picture & (shared > _SAME_PLACE * torch.minimum(area[:, None], area))


def as_found(candidates: Candidates, pictures: int) -> list[list[Found]]:
    """The candidates of each of so many pictures, in their order."""
    found: list[list[Found]] = [[] for _ in range(pictures)]
    places = zip(candidates.picture.tolist(), candidates.glyph.tolist())
    for (picture, glyph), (x, y, width, height), score in zip(
        places, candidates.box.tolist(), candidates.score.tolist()
    ):
        box = Box(*(part / IMAGE_SIZE for part in (x - width / 2, y - height / 2, width, height)))
        # Rounding can lift a perfect match a little above one.
        found[picture].append(Found(OBJECTS[glyph], box, min(score, 1.0)))
    return found
