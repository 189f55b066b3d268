"""How well the detector does on pictures of the world whose contents are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from ..detection.boxes import Found
from .detector import GlyphDetector
from .world import IMAGE_SIZE, MAX_OBJECTS, Placement, render, sample_layout, sample_objects


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
