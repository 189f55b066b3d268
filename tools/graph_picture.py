"""Draws docs/graph.jpg, an example after it has run: python -m tools.graph_picture http://127.0.0.1:8188 08

In the front end of a freshly started ComfyUI with this pack: nodes whose results are cached show less.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tools.command import command_line
from tools.front_end import EXAMPLES, RUN, SETTLE_MILLISECONDS, front_end, opened

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "graph.jpg"
_WIDTH, _QUALITY = 1600, 80
#: For so long the front end tells, above the graph, that a run has ended.
_TOLD_MILLISECONDS = 12_000

#: Fits the groups into the window, beside what lies over its borders; returns where they are then, in pixels.
_FIT = """() => {
    const LEFT = 90, TOP = 90, MARGIN = 30
    const boxes = app.graph._groups.map(group => group._bounding)
    const [x, y] = [0, 1].map(axis => Math.min(...boxes.map(box => box[axis])))
    const [width, height] = [0, 1].map(axis => Math.max(...boxes.map(box => box[axis] + box[axis + 2])) - [x, y][axis])
    const canvas = app.canvas.canvas.getBoundingClientRect()
    const scale = Math.min((canvas.width - LEFT - MARGIN) / width, (canvas.height - TOP - MARGIN) / height)
    app.canvas.deselectAll()
    app.canvas.ds.scale = scale
    app.canvas.ds.offset = [LEFT / scale - x, TOP / scale - y]
    app.canvas.setDirty(true, true)
    return {x: canvas.x + LEFT, y: canvas.y + TOP, width: width * scale, height: height * scale}
}"""


def main(server: str, number: str) -> None:
    """Run the example of this number and draw it."""
    (workflow,) = EXAMPLES.glob(f"{number} *.json")
    with front_end(server) as page:
        opened(page, workflow)
        page.evaluate(RUN)
        page.wait_for_timeout(_TOLD_MILLISECONDS)
        frame = page.evaluate(_FIT)
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        picture = Image.open(io.BytesIO(page.screenshot(clip=frame))).convert("RGB")
    picture.thumbnail((_WIDTH, picture.height), Image.Resampling.LANCZOS)
    picture.save(PICTURE, quality=_QUALITY)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("url", help="of a running ComfyUI")
    parser.add_argument("number", help="of the example, such as 08")
    options = parser.parse_args()
    main(options.url, options.number)
