"""Pictures that show what steering did: contact sheets and token maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .steering import TraceEntry
from .token_maps import resize

RIGHT, WRONG, MISSING = (46, 160, 67), (207, 34, 46), (154, 103, 0)
_PAPER, _INK = (255, 255, 255), (36, 41, 47)
_FRAME, _GAP, _TEXT_SIZE = 3, 6, 13
_MAP_SIZE = 128
_CENTROID_RADIUS = 4


@dataclass(frozen=True)
class SheetRow:
    """A line of a contact sheet.

    Attributes:
        label: written above the pictures.
        pictures: (count, 3, H, W) in [0, 1].
        frames: a colour (RGB, 0 to 255) for each picture's frame.
    """

    label: str
    pictures: Tensor
    frames: Sequence[tuple[int, int, int]]


def contact_sheet(rows: Sequence[SheetRow], legend: str) -> Image.Image:
    """Rows of framed pictures under their labels, with a legend at the foot."""
    font = ImageFont.load_default(_TEXT_SIZE)
    line = _TEXT_SIZE + _GAP
    count = max(len(row.pictures) for row in rows)
    height, width = rows[0].pictures.shape[-2:]
    cell_width, cell_height = width + 2 * _FRAME + _GAP, height + 2 * _FRAME + _GAP
    sheet_width = max(
        count * cell_width, *(round(font.getlength(row.label)) for row in rows), round(font.getlength(legend))
    )
    sheet = Image.new("RGB", (sheet_width + 2 * _GAP, len(rows) * (line + cell_height) + line + 2 * _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    top = _GAP
    for row in rows:
        pen.text((_GAP, top), row.label, fill=_INK, font=font)
        for column, (picture, colour) in enumerate(zip(row.pictures, row.frames)):
            framed = Image.new("RGB", (width + 2 * _FRAME, height + 2 * _FRAME), colour)
            framed.paste(to_image(picture), (_FRAME, _FRAME))
            sheet.paste(framed, (_GAP + column * cell_width, top + line))
        top += line + cell_height
    pen.text((_GAP, top), legend, fill=_INK, font=font)
    return sheet


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as an image."""
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy())


def map_sheet(trace: Sequence[TraceEntry], names: Sequence[str], image: int = 0) -> Image.Image:
    """Each object's mean token map at each probe, its centroid marked: objects down, probes across.

    Args:
        trace: with maps, as a ``Steering`` that records them leaves it.
        image: which image of the batch.

    Raises:
        ValueError: the trace holds no maps.
    """
    recorded = [(entry, entry.maps.mean_map()[image]) for entry in trace if entry.maps is not None]
    if not recorded:
        raise ValueError("The trace holds no token maps: nothing was steered, or they were not recorded.")
    rows = []
    for number, name in enumerate(names):
        tiles = [_map_tile(maps[number], entry.centroids[image, number]) for entry, maps in recorded]
        rows.append(SheetRow(name, torch.stack(tiles), [_INK] * len(tiles)))
    return contact_sheet(
        rows, f"Steps {recorded[0][0].step + 1} to {recorded[-1][0].step + 1}; the cross is the centroid."
    )


def _map_tile(token_map: Tensor, centroid: Tensor) -> Tensor:
    """One map (H, W) as a picture (3, …) in [0, 1], brightest where attention is highest."""
    size = (_MAP_SIZE, _MAP_SIZE)
    values = resize(token_map.float(), size)
    values = (values - values.min()) / (values.max() - values.min()).clamp_min(torch.finfo(values.dtype).tiny)
    tile = to_image(values.expand(3, *size))
    x, y = (round(value * _MAP_SIZE) for value in centroid.tolist())
    pen = ImageDraw.Draw(tile)
    pen.line((x - _CENTROID_RADIUS, y, x + _CENTROID_RADIUS, y), fill=WRONG, width=2)
    pen.line((x, y - _CENTROID_RADIUS, x, y + _CENTROID_RADIUS), fill=WRONG, width=2)
    return torch.from_numpy(np.array(tile)).movedim(-1, 0) / 255
