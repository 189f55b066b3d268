"""Makes the folder in which comfy-test runs: python -m tools.comfy_test FOLDER

comfy-test 0.4.15 runs what lies in a pack's folder workflows/. The pack itself has none, because ComfyUI would show
it among the templates; so this is a copy of what is published of the pack, with one. Its validator knows neither notes
nor the widget that follows a seed: it takes the positional widget values of every KSampler for those of their
neighbours. Both are left out of the workflows there. Turn on ComfyUI's setting Comfy.Workflow.NamedValuesRestore (in
user/default/comfy.settings.json) before comfy-test runs, so that the widgets have the examples' values and not their
defaults.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tools.command import command_line

PACK = Path(__file__).resolve().parents[1]
_SETTINGS = "comfy-test.toml"
#: What a checkout holds beside the pack: of git, of tools, and what commands have written.
BESIDE = (".*_cache", ".git", ".venv", ".dev", "*.egg-info", "__pycache__", "demo.png", "cost.png", "node.zip")


def reduced(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow without notes and positional widget values."""
    nodes = [
        {key: value for key, value in node.items() if key != "widgets_values"}
        for node in workflow["nodes"]
        if node["type"] != "MarkdownNote"
    ]
    return {**workflow, "nodes": nodes}


def export(folder: Path) -> None:
    """Copy the pack to a new folder, with the examples in their reduced form in its workflows/.

    Raises:
        FileExistsError: the folder is there already.
    """
    lines = (PACK / ".comfyignore").read_text(encoding="utf-8").splitlines()
    unpublished = {line.strip("/") for line in lines if line.startswith("/")} - {_SETTINGS}
    beside = shutil.ignore_patterns(*BESIDE)
    shutil.copytree(
        PACK, folder, ignore=lambda at, names: beside(at, names) | (unpublished if Path(at) == PACK else set())
    )
    (folder / "workflows").mkdir()
    for example in (folder / "example_workflows").glob("*.json"):
        workflow = reduced(json.loads(example.read_text(encoding="utf-8")))
        (folder / "workflows" / example.name).write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("folder", type=Path, help="that is not there yet")
    export(parser.parse_args().folder)
