"""Templates of the world's glyphs, and how well a piece of a picture matches one."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .band_pass import band_pass_filter, band_passed
from .world import OBJECTS, glyphs

#: Side of a template's cell, in pixels of the picture.
CELL = 4
#: Width of the rim around the silhouette, as a share of the longest side.
_RIM = 0.08
#: Deviations of this size are noise; they keep faint patterns of a plain background from scoring.
_NOISE = 0.008


class Templates:
    """All glyphs, band-passed and shrunk to a quarter.

    Attributes:
        colour: (glyphs, 3, cells, cells), the band of opacity times colour.
        opacity: (glyphs, 1, cells, cells), the band of the opacity.
        weight: (glyphs, 1, cells, cells), in [0, 1], silhouette and rim.
        size: (glyphs, 2), width and height in pixels.
    """

    def __init__(self, side: float, cells: int) -> None:
        canvases = torch.stack([_drawn(name, side, cells * CELL) for name in OBJECTS])
        rim = round(_RIM * side)
        silhouettes = F.max_pool2d(canvases[:, 3:], 2 * rim + 1, stride=1, padding=rim)
        bands = band_passed(canvases, band_pass_filter(cells * CELL, side))
        self.colour, self.opacity = F.avg_pool2d(bands, CELL).split([3, 1], dim=1)
        self.weight = F.avg_pool2d(silhouettes, CELL)
        self.size = torch.tensor([_size(name, side) for name in OBJECTS])

    def signal(self, glyph: Tensor, background: Tensor) -> Tensor:
        """What glyphs (K,) add to backgrounds (K, 3): (K, 3, cells, cells). The background may be
        taken out of the filter, as it hardly changes over a glyph."""
        return self.colour[glyph] - self.opacity[glyph] * background[:, :, None, None]

    def correlate(self, band: Tensor, background: Tensor) -> Tensor:
        """The ``cosine`` of every glyph at every place: (batch, 3, H, W) to (batch, glyphs, H, W).

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


def cosine(a: Tensor, signal: Tensor, weight: Tensor) -> Tensor:
    """Weighted cosine between noisy ``a`` and ``signal``, over the last three axes."""
    axes = (-3, -2, -1)
    product = (a * signal * weight).sum(dim=axes)
    energy = (a.square() * weight).sum(dim=axes) + _NOISE**2 * weight.sum(dim=axes)
    return product / (energy * (signal.square() * weight).sum(dim=axes)).sqrt()


def cells_of(side: float) -> int:
    """The least odd number of cells that hold an object and its rim; odd, to be centred on a cell."""
    return 2 * math.ceil(side * (0.5 + _RIM) / CELL - 0.5) + 1


def _size(name: str, side: float) -> tuple[float, float]:
    """Width and height of a glyph at a longest side."""
    glyph = glyphs()[name]
    scale = side / max(glyph.size)
    return glyph.width * scale, glyph.height * scale


def _drawn(name: str, side: float, canvas: int) -> Tensor:
    """A glyph in the middle of an empty square: (4, canvas, canvas), premultiplied RGB and opacity in [0, 1]."""
    glyph = torch.from_numpy(np.array(glyphs()[name], np.float32) / 255).permute(2, 0, 1)
    glyph = torch.cat([glyph[:3] * glyph[3:], glyph[3:]])
    width, height = map(round, _size(name, side))
    glyph = F.interpolate(glyph[None], (height, width), mode="bilinear", antialias=True)[0]
    left, top = (canvas - width) // 2, (canvas - height) // 2
    return F.pad(glyph, (left, canvas - width - left, top, canvas - height - top))
