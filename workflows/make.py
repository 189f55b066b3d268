"""Write the example workflows in the form that comfy-test's validator accepts: python workflows/make.py

Of comfy-test 0.4.15, the validator knows neither notes nor the widget that follows a seed, so it takes
the positional widget values of every KSampler for those of their neighbours. Both are left out here.
ComfyUI's front end restores the widgets from their named values if its setting
Comfy.Workflow.NamedValuesRestore is on; else they have their defaults.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER.parent / "example_workflows"


def reduced(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow without notes and positional widget values."""
    nodes = [
        {key: value for key, value in node.items() if key != "widgets_values"}
        for node in workflow["nodes"]
        if node["type"] != "MarkdownNote"
    ]
    return {**workflow, "nodes": nodes}


def target(example: Path) -> Path:
    """Where the reduced form stands: under a hidden name, which only comfy-test sees."""
    return FOLDER / f".{example.name}"


if __name__ == "__main__":
    for example in EXAMPLES.glob("*.json"):
        workflow = reduced(json.loads(example.read_text(encoding="utf-8")))
        target(example).write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8")
