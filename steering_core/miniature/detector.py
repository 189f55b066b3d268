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

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from ..detection.boxes import Box, Found
from .world import IMAGE_SIZE, MAX_OBJECTS, OBJECTS, Placement, glyphs, render, sample_layout, sample_objects

#: Least score of a detection. Of the objects that the autoencoder reconstructs, nearly all those that
#: a person would recognise score more; of chimeras made from the halves of two glyphs, nine in ten less.
THRESHOLD = 0.8

#: Standard deviations of the band-pass filter, as shares of an object's longest side.
_FINE, _BROAD = 0.058, 0.165
#: Width of the rim around the silhouette, as a share of the longest side.
_RIM = 0.08
#: Deviations of this size are noise; they keep faint patterns of a plain background from scoring.
_NOISE = 0.008

#: Everything happens on pictures of half the size, the search for candidates at a quarter.
_HALF, _QUARTER = 2, 4
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
#: Boxes are at the same place if they share more than this much of the smaller one.
_SAME_PLACE = 0.35

#: Pictures at a time; more of them would not fit in a processor's cache.
_CHUNK = 8


class GlyphDetector:
    """Finds the glyphs of the world's objects, upright, with a longest side of 26 to 84 pixels.

    Raises:
        FileNotFoundError: the atlas of glyphs is missing from the installation.
    """

    def __init__(self) -> None:
        self._scales = [_Templates(side, _cells(side)) for side in _SIDES]
        self._filters = [_band_pass_filter(IMAGE_SIZE // _HALF, side / _HALF) for side in _SIDES]
        self._crops = _Templates(_CROP_SIDE, _CROP_CELLS)

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
        bands = torch.stack([_filter(pictures - background, f) for f in self._filters], dim=1)
        background = F.avg_pool2d(background, _QUARTER // _HALF)

        candidates = _best_of_places(self._propose(bands, background), _LEAD)
        for step in _STEPS:
            candidates = _best_of_places(self._refine(candidates, bands, background, step), _LEAD)
        candidates = _best_of_places(candidates[candidates.score >= THRESHOLD])
        return _detections(candidates, len(pictures))

    def _propose(self, bands: Tensor, background: Tensor) -> _Candidates:
        """The highest peaks of all glyphs' scores, over all places and sizes.

        Args:
            bands: (batch, sides, 3, 64, 64), the deviation in each side's band.
            background: (batch, 3, 32, 32).
        """
        bands = F.avg_pool2d(bands.flatten(0, 1), _QUARTER // _HALF).unflatten(0, bands.shape[:2])
        scores = torch.stack([s.correlate(bands[:, i], background) for i, s in enumerate(self._scales)], dim=1)
        scores, scale = scores.max(dim=1)
        peaks = scores.where(scores == F.max_pool2d(scores, 3, stride=1, padding=1), 0)
        score, index = peaks.flatten(1).topk(_CANDIDATES)

        glyph, row, column = torch.unravel_index(index, peaks.shape[1:])
        centre = (torch.stack([column, row], dim=-1) + 0.5) * _QUARTER
        size = torch.stack([s.size for s in self._scales])[scale.flatten(1).gather(1, index), glyph]
        picture = torch.arange(len(peaks))[:, None].expand_as(index)
        box = torch.cat([centre, size], dim=-1)
        candidates = _Candidates(picture.flatten(), glyph.flatten(), box.flatten(0, 1), score.flatten())
        return candidates[candidates.score >= _CANDIDATE_SCORE]

    def _refine(self, candidates: _Candidates, bands: Tensor, background: Tensor, step: float) -> _Candidates:
        """Move each candidate, then resize it, to the best of the nine boxes one step around."""
        sides = torch.tensor(_SIDES)
        nearest = (candidates.box[:, 2:].amax(dim=1, keepdim=True) / sides).log().abs().argmin(dim=1)
        maps = bands[candidates.picture, nearest]
        column, row = (candidates.box[:, :2] / _QUARTER).long().clamp(0, background.shape[-1] - 1).unbind(1)
        signal = self._crops.signal(candidates.glyph, background[candidates.picture, :, row, column])
        weight = self._crops.weight[candidates.glyph]
        size = self._crops.size[candidates.glyph]

        offsets = torch.cartesian_prod(*[torch.tensor([-step, 0.0, step])] * 2)
        box, score = candidates.box, candidates.score
        for offset in (F.pad(offsets, (0, 2)), F.pad(offsets, (2, 0))):
            boxes = box[:, None] + offset * box[:, 2:].repeat(1, 2)[:, None]
            score, best = _cosine(_crop(maps, boxes, size), signal[:, None], weight[:, None]).max(dim=1)
            box = boxes.take_along_dim(best[:, None, None], dim=1).squeeze(1)
        return _Candidates(candidates.picture, candidates.glyph, box, score)


@dataclass(frozen=True)
class DetectorScore:
    """How well the detector did.

    Attributes:
        recall: share of the objects that were found.
        precision: share of the detections that are right; 0 if there are none.
        scenes: number of pictures.
    """

    recall: float
    precision: float
    scenes: int


def measure_detector(scenes: int, seed: int) -> DetectorScore:
    """Run the detector on random pictures of the world that are blurred, noisy and faded.

    A detection is right if the picture has an object of its name within 8 pixels, or within 0.35
    of the object's longest side; further detections of the same object are wrong.

    Args:
        scenes: number of pictures, at least one, of 1 to ``MAX_OBJECTS`` objects each.
        seed: fixes the pictures.
    """
    rng = np.random.default_rng(seed)
    layouts = [sample_layout(rng, sample_objects(rng, int(rng.integers(1, MAX_OBJECTS + 1)))) for _ in range(scenes)]
    pictures = np.stack([_degrade(rng, render(layout)) for layout in layouts])
    found = GlyphDetector().detect(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    hits = sum(_hits(layout.placements, detections) for layout, detections in zip(layouts, found))
    objects = sum(len(layout.placements) for layout in layouts)
    detections = sum(map(len, found))
    return DetectorScore(hits / objects, hits / max(detections, 1), scenes)


def _hits(placements: Iterable[Placement], detections: Iterable[Found]) -> int:
    return sum(any(_agree(placement, detection) for detection in detections) for placement in placements)


def _agree(placement: Placement, found: Found) -> bool:
    tolerance = max(8, 0.35 * max(placement.width, placement.height))
    x, y = (IMAGE_SIZE * part for part in found.box.centre)
    return found.label == placement.name and math.hypot(x - placement.x, y - placement.y) <= tolerance


def _degrade(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Blur, fade, tint and add noise: uint8 (H, W, 3) to float32 in [0, 1]."""
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.6)))
    contrast, tint = rng.uniform(0.85, 1.1), rng.uniform(-0.05, 0.05, 3)
    noise = rng.normal(0, rng.uniform(0, 0.04), picture.shape)
    faded = (np.asarray(blurred) / 255 - 0.5) * contrast + 0.5 + tint
    return (faded + noise).clip(0, 1).astype(np.float32)


def estimate_background(pictures: Tensor) -> Tensor:
    """Each picture's colour as a plane over the picture that most of it lies on.

    Args:
        pictures: (batch, 3, H, W), in [0, 1].

    Returns:
        The planes, (batch, 3, H, W).

    Least squares, reweighted with Welsch's function; its scale shrinks from one that takes in
    nearly everything, so that the fit does not settle on an object (graduated non-convexity,
    Blake & Zisserman 1987).
    """
    height, width = pictures.shape[2:]
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width).expand(height, width)
    basis = torch.stack([torch.ones_like(x), x, y], dim=-1).flatten(0, 1)
    colours = pictures.flatten(2).transpose(1, 2)
    plane = colours.median(dim=1, keepdim=True).values
    for scale in np.geomspace(0.1, 0.01, 8).tolist():
        distance = (colours - plane).square().sum(dim=-1, keepdim=True)
        # The small constant keeps the system solvable where nothing is near the plane.
        weighted = basis * (torch.exp(-distance / (2 * scale**2)) + 1e-6)
        plane = basis @ torch.linalg.solve(weighted.transpose(1, 2) @ basis, weighted.transpose(1, 2) @ colours)
    return plane.transpose(1, 2).unflatten(2, (height, width))


class _Templates:
    """All glyphs, band-passed and shrunk to a quarter.

    Attributes:
        colour: (glyphs, 3, cells, cells), the band of opacity times colour.
        opacity: (glyphs, 1, cells, cells), the band of the opacity.
        weight: (glyphs, 1, cells, cells), in [0, 1], silhouette and rim.
        size: (glyphs, 2), width and height in pixels.
    """

    def __init__(self, side: float, cells: int) -> None:
        canvases = torch.stack([_draw(name, side, cells * _QUARTER) for name in OBJECTS])
        rim = round(_RIM * side)
        silhouettes = F.max_pool2d(canvases[:, 3:], 2 * rim + 1, stride=1, padding=rim)
        bands = _filter(canvases, _band_pass_filter(cells * _QUARTER, side))
        self.colour, self.opacity = F.avg_pool2d(bands, _QUARTER).split([3, 1], dim=1)
        self.weight = F.avg_pool2d(silhouettes, _QUARTER)
        self.size = torch.tensor([_size(name, side) for name in OBJECTS])

    def signal(self, glyph: Tensor, background: Tensor) -> Tensor:
        """What glyphs (K,) add to backgrounds (K, 3): (K, 3, cells, cells). The background may be
        taken out of the filter, as it hardly changes over a glyph."""
        return self.colour[glyph] - self.opacity[glyph] * background[:, :, None, None]

    def correlate(self, band: Tensor, background: Tensor) -> Tensor:
        """The ``_cosine`` of every glyph at every place: (batch, 3, H, W) to (batch, glyphs, H, W).

        The signal's linearity in the background turns this into two convolutions.
        """
        padding = self.weight.shape[-1] // 2
        kernel = torch.cat([self.colour, -self.opacity], dim=1) * self.weight
        inputs = torch.cat([band, (band * background).sum(dim=1, keepdim=True)], dim=1)
        product = F.conv2d(inputs, kernel, padding=padding)
        energy = F.conv2d(band.square().sum(dim=1, keepdim=True) + _NOISE**2, self.weight, padding=padding)
        return product / (energy * self._signal_energy(background)).sqrt()

    def _signal_energy(self, background: Tensor) -> Tensor:
        """The weighted squared norm of each glyph's signal: (batch, 3, H, W) to (batch, glyphs, H, W)."""
        constant = (self.colour.square() * self.weight).sum(dim=(1, 2, 3))[:, None, None]
        linear = torch.einsum("bchw,nc->bnhw", background, (self.colour * self.opacity * self.weight).sum(dim=(2, 3)))
        quadratic = (self.opacity.square() * self.weight).sum(dim=(1, 2, 3))[:, None, None]
        return constant - 2 * linear + quadratic * background.square().sum(dim=1, keepdim=True)


def _cells(side: float) -> int:
    """The least odd number of cells that hold an object and its rim; odd, to be centred on a cell."""
    return 2 * math.ceil(side * (0.5 + _RIM) / _QUARTER - 0.5) + 1


def _size(name: str, side: float) -> tuple[float, float]:
    """Width and height of a glyph at a longest side."""
    glyph = glyphs()[name]
    scale = side / max(glyph.size)
    return glyph.width * scale, glyph.height * scale


def _draw(name: str, side: float, canvas: int) -> Tensor:
    """A glyph in the middle of an empty square: (4, canvas, canvas), premultiplied RGB and opacity in [0, 1]."""
    glyph = torch.from_numpy(np.array(glyphs()[name], np.float32) / 255).permute(2, 0, 1)
    glyph = torch.cat([glyph[:3] * glyph[3:], glyph[3:]])
    width, height = map(round, _size(name, side))
    glyph = F.interpolate(glyph[None], (height, width), mode="bilinear", antialias=True)[0]
    left, top = (canvas - width) // 2, (canvas - height) // 2
    return F.pad(glyph, (left, canvas - width - left, top, canvas - height - top))


def _band_pass_filter(size: int, side: float) -> tuple[Tensor, Tensor]:
    """The fine and the broad blur along one axis for objects of a side, as matrices (size, size)."""
    fine, broad = (_gaussian(size, share * side) for share in (_FINE, _BROAD))
    return fine, broad


def _filter(maps: Tensor, band_pass_filter: tuple[Tensor, Tensor]) -> Tensor:
    """The difference of the two blurs of square maps (..., size, size), which are zero beyond the border."""
    fine, broad = band_pass_filter
    return fine @ maps @ fine - broad @ maps @ broad


def _gaussian(size: int, sigma: float) -> Tensor:
    """The symmetric matrix that blurs a signal of ``size`` samples."""
    sample = torch.arange(size)
    return torch.exp(-((sample - sample[:, None]) / sigma).square() / 2) / (sigma * math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class _Candidates:
    """Possible detections: index of picture and of glyph (K,); box (K, 4): x, y, width, height; score (K,)."""

    picture: Tensor
    glyph: Tensor
    box: Tensor
    score: Tensor

    def __getitem__(self, chosen: Tensor) -> _Candidates:
        return _Candidates(self.picture[chosen], self.glyph[chosen], self.box[chosen], self.score[chosen])


def _crop(maps: Tensor, boxes: Tensor, size: Tensor) -> Tensor:
    """Resample boxes as ``_Templates`` show a glyph.

    Args:
        maps: (K, 3, H, W).
        boxes: (K, boxes per map, 4) in pixels of the whole picture.
        size: (K, 2), width and height of the glyph in the template.

    Returns:
        (K, boxes per map, 3, cells, cells).
    """
    cell = (torch.arange(_CROP_CELLS) - (_CROP_CELLS - 1) / 2) * _QUARTER
    places = boxes[..., :2, None] + cell * (boxes[..., 2:] / size[:, None])[..., None]
    x, y = (places * (2 / IMAGE_SIZE) - 1).unbind(-2)
    grid = torch.stack(torch.broadcast_tensors(x[..., None, :], y[..., :, None]), dim=-1)
    crops = F.grid_sample(maps, grid.flatten(1, 2), align_corners=False)
    return crops.unflatten(2, (boxes.shape[1], _CROP_CELLS)).transpose(1, 2)


def _cosine(a: Tensor, signal: Tensor, weight: Tensor) -> Tensor:
    """Weighted cosine between noisy ``a`` and ``signal``, over the last three axes."""
    axes = (-3, -2, -1)
    product = (a * signal * weight).sum(dim=axes)
    energy = (a.square() * weight).sum(dim=axes) + _NOISE**2 * weight.sum(dim=axes)
    return product / (energy * (signal.square() * weight).sum(dim=axes)).sqrt()


def _best_of_places(candidates: _Candidates, lead: float = 0.0) -> _Candidates:
    """Greedy non-maximum suppression across glyphs, best first.

    A candidate falls to a better one at the same place whose score is higher by ``lead``.
    """
    candidates = candidates[candidates.score.argsort(descending=True, stable=True)]
    ahead = candidates.score[:, None] - candidates.score >= lead
    falls = (_overlap(candidates) & ahead).triu(1).cpu().numpy()
    kept = np.ones(len(falls), bool)
    for index, falling in enumerate(falls):
        if kept[index]:
            kept[falling] = False
    return candidates[torch.from_numpy(kept)]


def _overlap(candidates: _Candidates) -> Tensor:
    """Which pairs of candidates are at the same place of the same picture: (K, K)."""
    centre, size = candidates.box.split(2, dim=1)
    start, end = centre - size / 2, centre + size / 2
    shared = (torch.minimum(end[:, None], end) - torch.maximum(start[:, None], start)).clamp_min(0).prod(dim=-1)
    area = size.prod(dim=-1)
    same_picture = candidates.picture[:, None] == candidates.picture
    return same_picture & (shared > _SAME_PLACE * torch.minimum(area[:, None], area))


def _detections(candidates: _Candidates, pictures: int) -> list[list[Found]]:
    found: list[list[Found]] = [[] for _ in range(pictures)]
    places = zip(candidates.picture.tolist(), candidates.glyph.tolist())
    for (picture, glyph), (x, y, width, height), score in zip(
        places, candidates.box.tolist(), candidates.score.tolist()
    ):
        box = Box(*(part / IMAGE_SIZE for part in (x - width / 2, y - height / 2, width, height)))
        # Rounding can lift a perfect match a little above one.
        found[picture].append(Found(OBJECTS[glyph], box, min(score, 1.0)))
    return found
