"""Draws thumbnails of example workflows: python -m tools.thumbnails http://127.0.0.1:8188 NUMBER …

Runs each in the front end of a running ComfyUI with this pack, as a person does (comfy-cli loses the boxes of ComfyUI's
box canvas), and lays out the four pictures that a Save Image node saves; of several such nodes their pictures side by
side, in the order of the graph. Examples that need files of one's own have thumbnails of another kind.
"""

from __future__ import annotations

import io
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page

from tools.command import command_line
from tools.front_end import EXAMPLES, RUN, front_end, opened

_GAP, _QUALITY, _PICTURES = 4, 88, 4
_GROUND = (255, 255, 255)


def main(server: str, numbers: list[str]) -> None:
    """Run the examples of these numbers, and write their thumbnails."""
    with front_end(server) as page:
        for workflow in sorted(EXAMPLES.glob("*.json")):
            if workflow.stem.split()[0] in numbers:
                _beside([_sheet(pictures) for pictures in _run(page, server, workflow)]).save(
                    workflow.with_suffix(".jpg"), quality=_QUALITY
                )


def _run(page: Page, server: str, workflow: Path) -> list[list[Image.Image]]:
    """The first pictures of each node that saves some."""
    graph = opened(page, workflow)
    outputs = page.evaluate(RUN)
    saving = [str(node["id"]) for node in graph["nodes"] if node["type"] == "SaveImage"]
    return [[_fetched(server, one) for one in outputs[node]["images"][:_PICTURES]] for node in saving]


def _fetched(server: str, saved: dict[str, Any]) -> Image.Image:
    with urllib.request.urlopen(f"{server.rstrip('/')}/view?{urlencode(saved)}") as answer:
        return Image.open(io.BytesIO(answer.read())).convert("RGB")


def _sheet(pictures: list[Image.Image]) -> Image.Image:
    """Two by two."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (2 * width + _GAP, 2 * height + _GAP), _GROUND)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % 2 * (width + _GAP), number // 2 * (height + _GAP)))
    return sheet


def _beside(sheets: list[Image.Image]) -> Image.Image:
    width, height = sheets[0].size
    whole = Image.new("RGB", (len(sheets) * (width + 4 * _GAP) - 4 * _GAP, height), _GROUND)
    for number, sheet in enumerate(sheets):
        whole.paste(sheet, (number * (width + 4 * _GAP), 0))
    return whole


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("url", help="of a running ComfyUI")
    parser.add_argument("numbers", metavar="NUMBER", nargs="+", help="of the examples, such as 01")
    options = parser.parse_args()
    main(options.url, options.numbers)
