"""Draws thumbnails of example workflows: python tools/thumbnails.py http://127.0.0.1:8188 NUMBER …

Runs each by comfy-cli on a running ComfyUI with this pack, and lays out the four pictures that a Save Image node saves;
of several such nodes their pictures side by side, in the order of the graph. Examples that need files of one's own have
thumbnails of another kind.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "example_workflows"
_GAP, _QUALITY, _PICTURES = 4, 88, 4
_GROUND = (255, 255, 255)


def main(server: str, numbers: list[str]) -> None:
    """Run the examples of these numbers, and write their thumbnails."""
    for workflow in sorted(EXAMPLES.glob("*.json")):
        if workflow.stem.split()[0] in numbers:
            _beside([_sheet(pictures) for pictures in _run(server, workflow)]).save(
                workflow.with_suffix(".jpg"), quality=_QUALITY
            )


def _run(server: str, workflow: Path) -> list[list[Image.Image]]:
    """The first pictures of each node that saves some."""
    address = urlsplit(server)
    comfy = shutil.which("comfy") or str(Path(sys.executable).with_name("comfy"))
    at = ["--host", str(address.hostname), "--port", str(address.port)]
    command = [comfy, "--skip-prompt", "run", "--workflow", str(workflow), *at, "--wait", "--timeout", "300"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    of_nodes = told["data"]["outputs_by_node"]
    nodes = json.loads(workflow.read_text(encoding="utf-8"))["nodes"]
    saving = [str(node["id"]) for node in nodes if node["type"] == "SaveImage"]
    return [[_fetched(one) for one in of_nodes[node][:_PICTURES]] for node in saving]


def _fetched(address: str) -> Image.Image:
    with urllib.request.urlopen(address) as answer:
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
    main(sys.argv[1], sys.argv[2:])
