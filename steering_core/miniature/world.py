"""The miniature's world: pictures of 1 to 5 everyday objects on a plain or graded background.

The objects are glyphs of Noto Color Emoji (SIL Open Font License 1.1), kept as one picture,
``models/miniature_world/glyphs.png``, so that rendering needs no font.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..files.shipped import MODELS_DIR
from ..wording import one_line

#: Side of a picture, in pixels.
IMAGE_SIZE = 128
#: Side of a glyph's cell in the atlas, in pixels.
GLYPH_SIZE = 128
MAX_OBJECTS = 5

WORLD_DIR = MODELS_DIR / "miniature_world"
ATLAS = WORLD_DIR / "glyphs.png"
_ATLAS_COLUMNS = 6
_FONT_SIZE = 109  # the only size of the bitmaps in Noto Color Emoji

#: COCO's names and their emoji, arranged in a circle: neighbours at distance one or two on it
#: never occur together in a training picture (see ``is_unseen_pair``).
_EMOJI = {
    "giraffe": "\N{GIRAFFE FACE}",
    "airplane": "\N{AIRPLANE}",
    "couch": "\N{COUCH AND LAMP}",
    "zebra": "\N{ZEBRA FACE}",
    "pizza": "\N{SLICE OF PIZZA}",
    "bus": "\N{BUS}",
    "cat": "\N{CAT}",
    "umbrella": "\N{UMBRELLA}",
    "elephant": "\N{ELEPHANT}",
    "cake": "\N{BIRTHDAY CAKE}",
    "bicycle": "\N{BICYCLE}",
    "cow": "\N{COW}",
    "clock": "\N{ALARM CLOCK}",
    "banana": "\N{BANANA}",
    "horse": "\N{HORSE}",
    "cup": "\N{HOT BEVERAGE}",
    "boat": "\N{SAILBOAT}",
    "dog": "\N{DOG}",
    "book": "\N{CLOSED BOOK}",
    "bird": "\N{BIRD}",
    "chair": "\N{CHAIR}",
    "apple": "\N{RED APPLE}",
    "car": "\N{AUTOMOBILE}",
    "teddy bear": "\N{TEDDY BEAR}",
}
OBJECTS = tuple(_EMOJI)
_UNSEEN_DISTANCE = 2

#: Longest side of an object in pixels, (smallest, largest), by the number of objects.
_SIDE_RANGES = {1: (48, 76), 2: (40, 58), 3: (36, 50), 4: (34, 44), 5: (32, 40)}
#: Least gap between two objects, and between an object and the border, in pixels.
_GAP = 2


@dataclass(frozen=True)
class Placement:
    """One object of a picture. Centre (x, y), width and height in pixels."""

    name: str
    x: float
    y: float
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in whole pixels, half-open."""
        left, top = round(self.x - self.width / 2), round(self.y - self.height / 2)
        return left, top, left + self.width, top + self.height


@dataclass(frozen=True)
class Background:
    """A linear gradient: two colours (RGB, 0 to 255) and the angle it runs at, in radians."""

    start: tuple[int, int, int]
    end: tuple[int, int, int]
    angle: float


@dataclass(frozen=True)
class Layout:
    """What a picture shows."""

    placements: tuple[Placement, ...]
    background: Background


def is_unseen_pair(a: str, b: str) -> bool:
    """Whether two objects are kept apart in all training pictures."""
    distance = abs(OBJECTS.index(a) - OBJECTS.index(b))
    return min(distance, len(OBJECTS) - distance) <= _UNSEEN_DISTANCE


def unseen_pairs() -> list[tuple[str, str]]:
    """All unordered pairs that training never shows together."""
    return [pair for pair in itertools.combinations(OBJECTS, 2) if is_unseen_pair(*pair)]


def sample_objects(
    rng: np.random.Generator, count: int, beside: Sequence[str] = (), without: Collection[str] = ()
) -> list[str]:
    """``count`` distinct objects of which no two are an unseen pair.

    Args:
        beside: objects that are there already, which count in this.
        without: objects that are not chosen.
    """
    chosen: list[str] = []
    for index in rng.permutation(len(OBJECTS)):
        if len(chosen) == count:
            break
        name = OBJECTS[index]
        if name not in without and not any(is_unseen_pair(name, other) for other in (*beside, *chosen)):
            chosen.append(name)
    return chosen


def sample_layout(rng: np.random.Generator, names: list[str]) -> Layout:
    """Place the named objects at random without overlap.

    Args:
        names: 1 to ``MAX_OBJECTS`` objects.
    """
    while True:
        placements: list[Placement] = []
        for name in names:
            placement = _place(rng, name, _SIDE_RANGES[len(names)], placements)
            if placement is None:
                break
            placements.append(placement)
        else:
            return Layout(tuple(placements), sample_background(rng))


def _place(
    rng: np.random.Generator, name: str, sides: tuple[int, int], others: Iterable[Placement]
) -> Placement | None:
    glyph = glyphs()[name]
    scale = rng.uniform(*sides) / max(glyph.size)
    width, height = round(glyph.width * scale), round(glyph.height * scale)
    for _ in range(20):
        x = rng.uniform(width / 2 + _GAP, IMAGE_SIZE - width / 2 - _GAP)
        y = rng.uniform(height / 2 + _GAP, IMAGE_SIZE - height / 2 - _GAP)
        if all(
            abs(x - o.x) > (width + o.width) / 2 + _GAP or abs(y - o.y) > (height + o.height) / 2 + _GAP for o in others
        ):
            return Placement(name, x, y, width, height)
    return None


def sample_background(rng: np.random.Generator) -> Background:
    """A plain colour half of the time, else a soft gradient; always light."""
    start = rng.integers(176, 256, 3)
    end = start if rng.random() < 0.5 else np.clip(start + rng.integers(-40, 41, 3), 160, 255)
    return Background(tuple(start.tolist()), tuple(end.tolist()), rng.uniform(0, 2 * np.pi))


def render(layout: Layout) -> np.ndarray:
    """The picture of a layout: uint8, (IMAGE_SIZE, IMAGE_SIZE, 3), RGB."""
    picture = Image.fromarray(_render_background(layout.background))
    for placement in layout.placements:
        glyph = glyphs()[placement.name].resize((placement.width, placement.height), Image.Resampling.LANCZOS)
        picture.paste(glyph, placement.box[:2], glyph)
    return np.asarray(picture)


def _render_background(background: Background) -> np.ndarray:
    axis = np.linspace(-1, 1, IMAGE_SIZE)
    along = np.cos(background.angle) * axis[None, :] + np.sin(background.angle) * axis[:, None]
    mix = ((along / np.abs(along).max() + 1) / 2)[..., None]
    start, end = np.array(background.start), np.array(background.end)
    return np.round(start + (end - start) * mix).astype(np.uint8)


@cache
def glyphs() -> dict[str, Image.Image]:
    """Each object's picture: RGBA, cropped to what is visible.

    Raises:
        FileNotFoundError: the atlas is missing from the installation.
    """
    if not ATLAS.exists():
        raise FileNotFoundError(
            f"The glyphs of the miniature's world were expected at {ATLAS}. Reinstall the pack, or draw "
            f"them anew from Noto Color Emoji."
        )
    with Image.open(ATLAS) as atlas:
        cells = atlas.convert("RGBA")
    pictures = {}
    for index, name in enumerate(OBJECTS):
        left, top = index % _ATLAS_COLUMNS * GLYPH_SIZE, index // _ATLAS_COLUMNS * GLYPH_SIZE
        cell = cells.crop((left, top, left + GLYPH_SIZE, top + GLYPH_SIZE))
        pictures[name] = cell.crop(cell.getbbox())
    return pictures


def extract_glyphs(font: Path) -> Image.Image:
    """Draw the atlas that ``glyphs`` reads from Noto Color Emoji's font file.

    Raises:
        ValueError: the file is no font that Pillow can open at the size of its bitmaps; names it.
    """
    try:
        emoji_font = ImageFont.truetype(str(font), _FONT_SIZE)
    except OSError as error:  # which does not say of what
        raise ValueError(f"{font}: the font NotoColorEmoji.ttf was expected: {one_line(error)}") from error
    rows = -(-len(OBJECTS) // _ATLAS_COLUMNS)
    atlas = Image.new("RGBA", (_ATLAS_COLUMNS * GLYPH_SIZE, rows * GLYPH_SIZE))
    for index, emoji in enumerate(_EMOJI.values()):
        canvas = Image.new("RGBA", (2 * GLYPH_SIZE, 2 * GLYPH_SIZE))
        ImageDraw.Draw(canvas).text((GLYPH_SIZE // 2, GLYPH_SIZE // 2), emoji, font=emoji_font, embedded_color=True)
        glyph = canvas.crop(canvas.getbbox())
        atlas.paste(glyph, (index % _ATLAS_COLUMNS * GLYPH_SIZE, index // _ATLAS_COLUMNS * GLYPH_SIZE))
    return atlas
