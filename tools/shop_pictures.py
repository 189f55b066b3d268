"""Draws docs/icon.png and docs/banner.png, which the Comfy registry shows: python -m tools.shop_pictures

Two objects where attention sees them, and the relation between them: the icon 400 × 400 pixels, the banner 21:9.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tools.command import command_line

DOCS = Path(__file__).resolve().parents[1] / "docs"
ICON_SIDE = 400
BANNER_SIZE = (1260, 540)

_NIGHT, _DUSK = (24, 27, 46), (48, 42, 84)
_SUBJECT, _OBJECT = (255, 160, 64), (84, 178, 255)
_LINE, _PLAIN, _PALE = (236, 238, 248), (214, 217, 232), (150, 155, 184)
#: Drawn this much larger and then made smaller, so that edges are smooth.
_LARGER = 4


def _mixed(one: tuple[int, ...], other: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other))


def _ground(size: tuple[int, int]) -> Image.Image:
    """A slope from night to dusk, top left to bottom right."""
    corners = Image.new("RGB", (2, 2))
    corners.putdata([_NIGHT, _mixed(_NIGHT, _DUSK, 0.5), _mixed(_NIGHT, _DUSK, 0.5), _DUSK])
    return corners.resize(size, Image.Resampling.BICUBIC)


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, colour: tuple[int, ...]) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _glow(picture: Image.Image, centre: tuple[float, float], radius: float, colour: tuple[int, ...]) -> None:
    """What attention looks like: densest at the object, fading around it."""
    mask = Image.new("L", picture.size)
    _disc(ImageDraw.Draw(mask), centre, radius * 1.5, (190,))
    picture.paste(Image.new("RGB", picture.size, colour), mask=mask.filter(ImageFilter.GaussianBlur(radius * 0.55)))


def _relation(picture: Image.Image, box: tuple[float, float, float, float]) -> None:
    """Two discs in a square of the picture, given by its edges, with an arrow from one to the other's place."""
    left, top, right, _ = box
    side = right - left
    radius = side * 0.155
    subject, other = (left + side * 0.29, top + side * 0.28), (left + side * 0.71, top + side * 0.72)
    for centre, colour in ((subject, _SUBJECT), (other, _OBJECT)):
        _glow(picture, centre, radius, colour)
    draw = ImageDraw.Draw(picture)
    (x, y), (to_x, to_y) = subject, other
    length = math.hypot(to_x - x, to_y - y)
    along_x, along_y = (to_x - x) / length, (to_y - y) / length
    gap = radius * 1.35  # the arrow keeps clear of both discs
    start = (x + along_x * gap, y + along_y * gap)
    end = (to_x - along_x * gap, to_y - along_y * gap)
    head = side * 0.075
    draw.line((*start, end[0] - along_x * head * 0.8, end[1] - along_y * head * 0.8), _LINE, round(side * 0.032))
    _disc(draw, start, side * 0.016, _LINE)
    base = (end[0] - along_x * head, end[1] - along_y * head)
    across = (-along_y * head * 0.62, along_x * head * 0.62)
    draw.polygon(
        [end, (base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1])], fill=_LINE
    )
    for centre, colour in ((subject, _SUBJECT), (other, _OBJECT)):
        _disc(draw, centre, radius, colour)
        _disc(draw, (centre[0] - radius * 0.32, centre[1] - radius * 0.34), radius * 0.2, _mixed(colour, _LINE, 0.6))


def _rounded(picture: Image.Image, box: tuple[int, int, int, int], radius: int) -> Image.Image:
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius, fill=255)
    return mask


def icon() -> Image.Image:
    """The icon: ICON_SIDE × ICON_SIDE pixels, its corners transparent."""
    side = ICON_SIDE * _LARGER
    picture = _ground((side, side))
    _relation(picture, (0, 0, side, side))
    picture.putalpha(_rounded(picture, (0, 0, side - 1, side - 1), side // 5))
    return picture.resize((ICON_SIDE, ICON_SIDE), Image.Resampling.LANCZOS)


def _words(draw: ImageDraw.ImageDraw, place: tuple[float, float], size: int, words: list[tuple[str, tuple]]) -> None:
    x, y = place
    font = ImageFont.load_default(size * _LARGER)
    for text, colour in words:
        draw.text((x, y), text, colour, font, anchor="ls")
        x += draw.textlength(text, font)


def banner() -> Image.Image:
    """The banner: BANNER_SIZE pixels; the icon's scene in a frame, and beside it the pack's name and a prompt."""
    width, height = (length * _LARGER for length in BANNER_SIZE)
    picture = _ground((width, height))
    margin = height // 8
    frame = (margin, margin, height - margin, height - margin)
    inside = Image.new("RGB", picture.size, _mixed(_NIGHT, (0, 0, 0), 0.35))
    _relation(inside, frame)
    picture.paste(inside, mask=_rounded(picture, frame, height // 18))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle(frame, height // 18, outline=_mixed(_DUSK, _LINE, 0.35), width=2 * _LARGER)
    x = height - margin + margin * 0.8
    _words(draw, (x, height * 0.44), 84, [("Spatial Steering", _LINE)])
    prompt = [("a ", _PLAIN), ("sun", _SUBJECT), (" above and to the left of a ", _PLAIN), ("lake", _OBJECT)]
    _words(draw, (x, height * 0.60), 33, prompt)
    _words(draw, (x, height * 0.72), 27, [("ComfyUI nodes that put things where the prompt says", _PALE)])
    return picture.resize(BANNER_SIZE, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.parse_args()
    icon().save(DOCS / "icon.png", optimize=True)
    banner().save(DOCS / "banner.png", optimize=True)
