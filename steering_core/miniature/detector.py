"""Finds the world's objects in a picture by template matching, independently of any diffusion model.

Every picture is a background plus objects, so all comparisons are made on the deviation from the
background, D = P - B, which a glyph G of opacity a explains as T = a (G - B). A detection's score
is the cosine of D and T over the glyph's silhouette and a margin around it: one for the very
glyph, also where it has lost contrast, near zero for a region that is background or another shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .world import IMAGE_SIZE, OBJECTS, glyphs, render, sample_layout, sample_objects

_COARSE = 32
_SIDES = np.geomspace(27, 80, 10)
PATCH = 32
MARGIN = 1.25


@dataclass(frozen=True)
class Detection:
    name: str
    x: float
    y: float
    width: float
    height: float
    score: float


def estimate_background(pictures: Tensor) -> Tensor:
    B, _, H, W = pictures.shape
    size = _COARSE
    small = F.interpolate(pictures, (size, size), mode="area").flatten(2).transpose(1, 2)  # B N 3
    axis = (torch.arange(size, device=pictures.device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    basis = torch.stack([torch.ones_like(x), x, y], -1).flatten(0, 1)  # N 3
    fitted = small.median(1, keepdim=True).values.expand_as(small)
    for tolerance in torch.logspace(-1, -2, 8):
        distance = (small - fitted).square().sum(-1, keepdim=True)
        weight = torch.exp(-distance / (2 * tolerance**2)) + 1e-6
        normal = (basis.T * weight.transpose(1, 2)) @ basis
        rhs = (basis.T * weight.transpose(1, 2)) @ small
        coef = torch.linalg.solve(normal, rhs)
        fitted = basis @ coef
    axis = (torch.arange(H, device=pictures.device) + 0.5) / H * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    full = torch.stack([torch.ones_like(x), x, y], -1) @ coef.unsqueeze(1)
    return full.permute(0, 3, 1, 2)
