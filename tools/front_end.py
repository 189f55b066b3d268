"""ComfyUI's front end in a headless browser, for tools that draw what it shows. Needs playwright and Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

#: What the types of the pack's nodes begin with.
OWN = "SpatialSteering"
#: Runs the graph to its end; returns the outputs of its nodes, by their ids.
RUN = """() => new Promise((resolve, reject) => {
    app.api.addEventListener("execution_success", () => resolve(app.nodeOutputs), {once: true})
    app.api.addEventListener("execution_error", event => reject(event.detail.exception_message), {once: true})
    app.queuePrompt(0)
})"""

EXAMPLES = Path(__file__).resolve().parents[1] / "example_workflows"
#: For fonts, previews, widgets made of HTML, and what widgets of the pack ask the server.
SETTLE_MILLISECONDS = 2000

_OPENED = "count => app.graph._nodes.length === count"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_MILLISECONDS = 240_000
_READY = f"() => window.app?.graph && '{OWN}SteeredKSampler' in LiteGraph.registered_node_types"
_SETTINGS = {
    "Comfy.Locale": "en",
    "Comfy.Minimap.Visible": False,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.TutorialCompleted": True,
}


@contextmanager
def front_end(url: str) -> Iterator[Page]:
    """The front end of the server at a URL, in English, with nothing that lies over the graph."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": 2200, "height": 1400})
        page.set_default_timeout(_MILLISECONDS)
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_function(_READY)
        for setting, value in _SETTINGS.items():
            page.evaluate("([id, value]) => app.extensionManager.setting.set(id, value)", [setting, value])
        # The templates lie over the first graph of all, and on a slow machine they come late.
        page.reload(wait_until="domcontentloaded")
        page.wait_for_function(_READY)
        page.keyboard.press("Escape")
        yield page
        browser.close()


def opened(page: Page, workflow: Path) -> dict[str, Any]:
    """Open an example, and return its graph once it is there."""
    graph: dict[str, Any] = json.loads(workflow.read_text(encoding="utf-8"))
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function(_OPENED, arg=len(graph["nodes"]))
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    return graph
