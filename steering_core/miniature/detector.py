"""Finds the world's objects in a picture by template matching, independently of any diffusion model.

A picture P is taken as objects on a smooth background B. A glyph of colour G and opacity a accounts
for a (G - B) of the deviation P - B. Both are band-passed by a difference of Gaussians in
proportion to the glyph's size: the fine one makes sharp and smudgy pictures comparable, the broad
one takes away what any blob of about the same size and colour would share with the glyph. The score
of a match is the cosine between the two (normalised cross-correlation) over the glyph's silhouette
and a rim around it. It does not depend on contrast, and is lost to wrong colours, parts and outline
alike.

Candidates come from an exhaustive search on the shrunken picture; the best are then refined in
position, width and height, and the best candidate of each place is kept.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..detection.boxes import Found
from .background import estimate_background
from .band_pass import band_pass_filter, band_passed
from .candidates import Candidates, as_found, best_of_places
from .templates import CELL, Templates, cells_of, cosine
from .world import IMAGE_SIZE

#: Least score of a detection. Of the objects that the autoencoder reconstructs, nearly all those that
#: a person would recognise score more; of chimeras made from the halves of two glyphs, nine in ten less.
THRESHOLD = 0.8

#: Everything happens on pictures of half the size, the search for candidates on cells of a quarter.
_HALF = 2
#: Longest sides that are searched, in pixels.
_SIDES = tuple(np.geomspace(26, 84, 11).tolist())
#: Least score of a candidate, and the number of candidates in a picture.
_CANDIDATE_SCORE = 0.4
_CANDIDATES = 24

#: A crop shows a candidate like an object of this longest side in the middle of so many cells.
_CROP_SIDE, _CROP_CELLS = 72, 24
#: Successive steps of the refinement, as shares of a candidate's width and height.
_STEPS = (0.08, 0.05, 0.03)
#: A candidate that trails another at its place by this much will not overtake it by refinement.
_LEAD = 0.15

#: Pictures at a time; more of them would not fit in a processor's cache.
_CHUNK = 8


class GlyphDetector:
    """Finds the glyphs of the world's objects, upright, with a longest side of 26 to 84 pixels.

    Raises:
        FileNotFoundError: the atlas of glyphs is missing from the installation.
    """

    def __init__(self) -> None:
        self._scales = [Templates(side, cells_of(side)) for side in _SIDES]
        self._filters = [band_pass_filter(IMAGE_SIZE // _HALF, side / _HALF) for side in _SIDES]
        self._crops = Templates(_CROP_SIDE, _CROP_CELLS)

    @torch.inference_mode()
    def detect(self, pictures: Tensor) -> list[list[Found]]:
        """The objects of each picture, best first. An object may be found several times, at several places.

        Args:
            pictures: (batch, 3, 128, 128), RGB in [0, 1].

        Raises:
            ValueError: the pictures have another shape.
        """
        if pictures.shape[1:] != (3, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"Expected pictures of shape (batch, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got {tuple(pictures.shape)}."
            )
        chunks = pictures.split(_CHUNK) if len(pictures) else ()
        return [found for chunk in chunks for found in self._detect(chunk.to("cpu", torch.float32))]

    def _detect(self, pictures: Tensor) -> list[list[Found]]:
        pictures = F.avg_pool2d(pictures, _HALF)
        background = estimate_background(pictures)
        bands = torch.stack([band_passed(pictures - background, f) for f in self._filters], dim=1)
        background = F.avg_pool2d(background, CELL // _HALF)

        candidates = best_of_places(self._propose(bands, background), _LEAD)
        for step in _STEPS:
            candidates = best_of_places(self._refine(candidates, bands, background, step), _LEAD)
        candidates = best_of_places(candidates[candidates.score >= THRESHOLD])
        return as_found(candidates, len(pictures))

    def _propose(self, bands: Tensor, background: Tensor) -> Candidates:
        """The highest peaks of all glyphs' scores, over all places and sizes.

        Args:
            bands: (batch, sides, 3, 64, 64), the deviation in each side's band.
            background: (batch, 3, 32, 32).
        """
        bands = F.avg_pool2d(bands.flatten(0, 1), CELL // _HALF).unflatten(0, bands.shape[:2])
        scores = torch.stack([s.correlate(bands[:, i], background) for i, s in enumerate(self._scales)], dim=1)
        scores, scale = scores.max(dim=1)
        peaks = scores.where(scores == F.max_pool2d(scores, 3, stride=1, padding=1), 0)
        score, index = peaks.flatten(1).topk(_CANDIDATES)

        glyph, row, column = torch.unravel_index(index, peaks.shape[1:])
        centre = (torch.stack([column, row], dim=-1) + 0.5) * CELL
        size = torch.stack([s.size for s in self._scales])[scale.flatten(1).gather(1, index), glyph]
        picture = torch.arange(len(peaks))[:, None].expand_as(index)
        box = torch.cat([centre, size], dim=-1)
        candidates = Candidates(picture.flatten(), glyph.flatten(), box.flatten(0, 1), score.flatten())
        return candidates[candidates.score >= _CANDIDATE_SCORE]

    def _refine(self, candidates: Candidates, bands: Tensor, background: Tensor, step: float) -> Candidates:
        """Move each candidate, then resize it, to the best of the nine boxes one step around."""
        sides = torch.tensor(_SIDES)
        nearest = (candidates.box[:, 2:].amax(dim=1, keepdim=True) / sides).log().abs().argmin(dim=1)
        maps = bands[candidates.picture, nearest]
        column, row = (candidates.box[:, :2] / CELL).long().clamp(0, background.shape[-1] - 1).unbind(1)
        signal = self._crops.signal(candidates.glyph, background[candidates.picture, :, row, column])
        weight = self._crops.weight[candidates.glyph]
        size = self._crops.size[candidates.glyph]

        offsets = torch.cartesian_prod(*[torch.tensor([-step, 0.0, step])] * 2)
        box, score = candidates.box, candidates.score
        for offset in (F.pad(offsets, (0, 2)), F.pad(offsets, (2, 0))):
            boxes = box[:, None] + offset * box[:, 2:].repeat(1, 2)[:, None]
            score, best = cosine(_crop(maps, boxes, size), signal[:, None], weight[:, None]).max(dim=1)
            box = boxes.take_along_dim(best[:, None, None], dim=1).squeeze(1)
        return Candidates(candidates.picture, candidates.glyph, box, score)


def _crop(maps: Tensor, boxes: Tensor, size: Tensor) -> Tensor:
    """Resample boxes as ``Templates`` show a glyph.

    Args:
        maps: (K, 3, H, W).
        boxes: (K, boxes per map, 4) in pixels of the whole picture.
        size: (K, 2), width and height of the glyph in the template.

    Returns:
        (K, boxes per map, 3, cells, cells).
    """
    cell = (torch.arange(_CROP_CELLS) - (_CROP_CELLS - 1) / 2) * CELL
    places = boxes[..., :2, None] + cell * (boxes[..., 2:] / size[:, None])[..., None]
    x, y = (places * (2 / IMAGE_SIZE) - 1).unbind(-2)
    grid = torch.stack(torch.broadcast_tensors(x[..., None, :], y[..., :, None]), dim=-1)
    crops = F.grid_sample(maps, grid.flatten(1, 2), align_corners=False)
    return crops.unflatten(2, (boxes.shape[1], _CROP_CELLS)).transpose(1, 2)
