"""Pictures that show what steering did: contact sheets and token maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..detection.look import VERDICTS, PlacedRelation
from ..pictures import to_image
from ..token_maps import resize
from ..tokens import GroundedScene
from .trace import TraceEntry

Colour = tuple[int, int, int]

RIGHT, WRONG, MISSING = (46, 160, 67), (207, 34, 46), (154, 103, 0)
#: By the verdict on a trial.
VERDICT_COLOURS: dict[str, Colour] = dict(zip(VERDICTS, (RIGHT, WRONG, MISSING)))
#: Ground and letters of pictures that are looked at on ComfyUI's dark canvas.
DARK, LIGHT = (24, 24, 27), (228, 228, 231)
_PAPER, _INK = (255, 255, 255), (36, 41, 47)
_FRAME, _GAP, _TEXT_SIZE = 3, 6, 13
_TILE_WIDTH = 160
_MARK = 5
#: Of a name on a picture, however small it is.
_LEAST_TEXT_SIZE = 10
#: How much of the picture is left under a map, and of the map's colour at most.
_DARKENED, _MAP_DENSITY = 0.6, 0.75
#: Okabe and Ito 2008: told apart by people who see colours differently too.
_OBJECT_COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
    (153, 153, 153),
)


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
    frames: Sequence[Colour]


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


def map_sheet(
    scene: GroundedScene, trace: Sequence[TraceEntry], pictures: Sequence[Tensor], final: Tensor, image: int = 0
) -> Image.Image:
    """Where the model looked for each object while it was steered: objects down, probes across.

    Each object's map lies in its colour on what the picture was then, with the way that its centroid went. Beside
    its name stands how present it is in the last map.

    Args:
        trace: the probes to show.
        pictures: for each probe, what the picture was then, (3, H, W) in [0, 1]; none for maps on black.
        final: what it became, (3, H, W).
        image: which image of the batch.

    Raises:
        ValueError: the trace is empty.
    """
    if not trace:
        raise ValueError("The trace is empty: nothing was steered.")
    height = round(_TILE_WIDTH * final.shape[-2] / final.shape[-1])
    font = ImageFont.load_default(_TEXT_SIZE)
    line = _TEXT_SIZE + _GAP
    labels = _labels(scene, trace[-1])
    titles = [*(f"step {entry.step + 1}" for entry in trace), "picture"]
    tiles_width = _GAP + len(titles) * (_TILE_WIDTH + _GAP)
    # Sheets of one batch are of one size, whatever is said of each.
    width = max([tiles_width, *(2 * _GAP + round(font.getlength(label)) for of_image in labels for label in of_image)])
    sheet = Image.new("RGB", (width, _GAP + line + len(scene.names) * (line + height + _GAP)), DARK)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((_GAP + column * (_TILE_WIDTH + _GAP), _GAP), title, fill=LIGHT, font=font)
    under = [*(pictures or [torch.zeros_like(final)] * len(trace)), final]
    tiles = [to_image(picture).resize((_TILE_WIDTH, height), Image.Resampling.BICUBIC) for picture in under]
    centres = torch.stack([entry.centroids[image] for entry in trace])
    for number, label in enumerate(labels[image]):
        top = _GAP + line + number * (line + height + _GAP)
        colour = object_colour(number)
        pen.text((_GAP, top), label, fill=colour, font=font)
        shown = [_with_map(tile, entry.mean_map[image, number], colour) for tile, entry in zip(tiles, trace)]
        for column, tile in enumerate([*shown, tiles[-1].copy()]):
            mark_path(tile, centres[: column + 1, number], colour)
            sheet.paste(tile, (_GAP + column * (_TILE_WIDTH + _GAP), top + line))
    return sheet


def _labels(scene: GroundedScene, entry: TraceEntry) -> list[list[str]]:
    """For each picture of the batch, each object's name and how present it is."""
    presences = [entry.presence.of_image(image).describe(scene.names) for image in range(len(entry.strength))]
    return [[f"{name}: {what}" for name, what in zip(scene.names, presence)] for presence in presences]


def _with_map(tile: Image.Image, token_map: Tensor, colour: Colour) -> Image.Image:
    """The picture, darkened, with a map (H, W) in a colour on it, densest where attention is highest."""
    values = resize(token_map, (tile.height, tile.width))
    values = (values - values.min()) / (values.max() - values.min()).clamp_min(torch.finfo(values.dtype).tiny)
    mask = Image.fromarray((values * _MAP_DENSITY * 255).byte().numpy())
    return Image.composite(Image.new("RGB", tile.size, colour), tile.point(lambda value: value * _DARKENED), mask)


def mark_path(picture: Image.Image, centres: Tensor, colour: Colour) -> None:
    """Draw the way of a centroid, (points, 2) in (0, 1), and a mark where it is now; what is no number is left out."""
    pen = ImageDraw.Draw(picture)
    scale = torch.tensor([picture.width, picture.height])
    points = [tuple(point) for point in (centres * scale).tolist() if all(map(math.isfinite, point))]
    if not points:
        return
    if len(points) > 1:
        pen.line(points, fill=DARK, width=4, joint="curve")
        pen.line(points, fill=colour, width=2, joint="curve")
    x, y = points[-1]
    pen.ellipse((x - _MARK, y - _MARK, x + _MARK, y + _MARK), fill=colour, outline=DARK, width=2)


def mark_boxes(picture: Image.Image, boxes: Sequence[tuple[str, Sequence[float], Colour]]) -> None:
    """Draw boxes with their names.

    Args:
        boxes: name, (left, top, width, height) in shares of the picture's sides, and colour of each.
    """
    pen, width, font = _pen(picture)
    for name, (left, top, wide, high), colour in boxes:
        x, y = left * picture.width, top * picture.height
        far = x + wide * picture.width, y + high * picture.height
        pen.rectangle((x, y, *far), outline=colour, width=width)
        corner = x + width, y + width
        pen.rectangle(pen.textbbox(corner, name, font=font), fill=DARK)
        pen.text(corner, name, fill=colour, font=font)


def mark_relations(picture: Image.Image, relations: Sequence[PlacedRelation]) -> None:
    """Draw relations: a line between their objects and the words on it, green where one is seen, else red."""
    pen, width, font = _pen(picture)
    for one in relations:
        colour = RIGHT if one.seen else WRONG
        points = [(x * picture.width, y * picture.height) for x, y in one.centres]
        if len(points) > 1:
            pen.line(points, fill=DARK, width=3 * width)
            pen.line(points, fill=colour, width=width)
        x, y = points[0]
        pen.ellipse((x - 3 * width, y - 3 * width, x + 3 * width, y + 3 * width), fill=colour, outline=DARK)
        # Of a place, which has one point, under its mark.
        middle, below = [sum(part) / len(points) for part in zip(*points)], 4 * width * (len(points) == 1)
        at, anchor = (middle[0], middle[1] + below), "mt" if below else "mm"
        pen.rectangle(pen.textbbox(at, one.relation, font=font, anchor=anchor), fill=DARK)
        pen.text(at, one.relation, fill=colour, font=font, anchor=anchor)


def _pen(picture: Image.Image) -> tuple[ImageDraw.ImageDraw, int, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """What draws on a picture, with a width of lines and a font that suit its size."""
    width = max(1, round(min(picture.size) / 128))
    font = ImageFont.load_default(max(_LEAST_TEXT_SIZE, round(min(picture.size) / 32)))
    return ImageDraw.Draw(picture), width, font


def object_colour(number: int) -> Colour:
    """The colour of a scene's object, the same in all pictures."""
    return _OBJECT_COLOURS[number % len(_OBJECT_COLOURS)]
