"""A real ComfyUI: found, started with the pack in it, and its Python run on scripts of ours."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PACK = Path(__file__).resolve().parents[1]
_INSIDE = Path(__file__).parent / "comfyui" / "inside"
#: The pack's folder in custom_nodes, which its files' addresses name.
_SERVED_AS = "ComfyUI-Spatial-Steering"
_START_SECONDS = 180
_RUN_SECONDS = 300


@dataclass(frozen=True)
class Install:
    """An install of ComfyUI and the Python that runs it."""

    folder: Path
    python: Path

    def run(self, script: str, *arguments: str) -> Any:
        """Run a script of ``inside/`` with this install and the pack; returns the JSON that it prints last."""
        if not _forks():
            return self.run_alone(script, *arguments)
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            order = {"script": script, "arguments": arguments, "out": str(out), "err": str(err)}
            assert self._forking.stdin and self._forking.stdout
            self._forking.stdin.write(json.dumps(order) + "\n")
            self._forking.stdin.flush()
            status = self._forking.stdout.readline().strip()
            assert status == "0", err.read_text()[-4000:] if err.exists() else "ComfyUI or the pack was not imported."
            return json.loads(out.read_text().splitlines()[-1])

    def run_alone(self, script: str, *arguments: str, pack: Path = PACK) -> Any:
        """The same in a process that has imported nothing before, and with another pack."""
        done = subprocess.run(
            [*self._command(script, pack), *arguments],
            capture_output=True,
            text=True,
            env=_environment(),
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    def close(self) -> None:
        """End the process that forks, if there is one."""
        if "_forking" in vars(self):
            self._forking.communicate()

    @cached_property
    def _forking(self) -> subprocess.Popen[str]:
        """A process with everything imported: that takes as long as many a script does."""
        return subprocess.Popen(
            self._command("forking.py", PACK),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
            cwd=self.folder,
        )

    def _command(self, script: str, pack: Path) -> list[str]:
        return [str(self.python), str(_INSIDE / script), str(self.folder), str(pack)]

    def need_training(self) -> None:
        """Skip the test if training cannot run here."""
        packages = ("accelerate", "matplotlib")
        found = subprocess.run([str(self.python), "-c", f"import {', '.join(packages)}"], capture_output=True)
        if found.returncode:
            pytest.skip(f"training in ComfyUI: its Python lacks one of {', '.join(packages)}")


def _forks() -> bool:
    """Whether a process can be forked here: not on Windows, nor where it may have touched a card."""
    return hasattr(os, "fork") and os.environ.get("STEER_TEST_DEVICE") != "cuda"


def _environment() -> dict[str, str]:
    # Idle OpenMP threads that spin starve the ones that work, on machines with few cores.
    return {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": "1"}


def _folder() -> Path | None:
    if path := os.environ.get("COMFYUI_PATH"):
        return Path(path)
    config = configparser.ConfigParser()
    config.read(Path.home() / ".config" / "comfy-cli" / "config.ini")
    workspace = config.get("DEFAULT", "default_workspace", fallback=None)
    return Path(workspace) if workspace else None


def _python(folder: Path) -> Path:
    if path := os.environ.get("COMFYUI_PYTHON"):
        return Path(path)
    candidates = [folder / name / "bin" / "python" for name in (".venv", "venv")]
    return next((python for python in candidates if python.exists()), Path(sys.executable))


@pytest.fixture(scope="session")
def comfyui() -> Iterator[Install]:
    """The install; tests that use it are skipped where there is none."""
    folder = _folder()
    if folder is None or not (folder / "main.py").exists():
        pytest.skip("no ComfyUI: set COMFYUI_PATH, or comfy-cli's default workspace")
    install = Install(folder, _python(folder))
    yield install
    install.close()


@pytest.fixture(scope="session")
def comfy() -> str:
    """comfy-cli's command."""
    beside = Path(sys.executable).with_name("comfy")
    command = str(beside) if beside.exists() else shutil.which("comfy")
    if command is None:
        pytest.skip("no comfy-cli: pip install comfy-cli")
    return command


@dataclass(frozen=True)
class Server:
    """A running ComfyUI with the pack in its custom_nodes."""

    port: int
    output: Path

    def get(self, path: str) -> Any:
        """The JSON at a path of its API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return json.load(answer)

    def queue(self, prompt: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Queue a prompt in API format; returns the answer, also of a refusal."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/prompt",
            json.dumps({"prompt": prompt, **more}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            return json.load(refusal)

    def finish(self, queued: dict[str, Any]) -> dict[str, Any]:
        """Wait until a queued prompt has ended; returns its entry of the history."""
        assert "prompt_id" in queued, queued
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            if entry := self.get(f"/history/{queued['prompt_id']}").get(queued["prompt_id"]):
                return entry
            time.sleep(0.1)
        pytest.fail(f"The prompt did not end in {_RUN_SECONDS} s.")

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Run a prompt in API format to its end."""
        return self.finish(self.queue(prompt))

    def interrupt(self) -> None:
        """Stop the running prompt."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/interrupt", data=b""):
            pass

    def pictures(self, entry: dict[str, Any], node: str) -> np.ndarray:
        """What a node saved or previewed: (pictures, H, W, 3), 0 to 255."""
        folders = {"output": self.output, "temp": self.output.parent / "temp"}
        files = [
            folders[image["type"]] / image["subfolder"] / image["filename"]
            for image in entry["outputs"][node]["images"]
        ]
        return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


@pytest.fixture(scope="session")
def server(comfyui: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started once, with a base folder of its own: nothing is written into the install."""
    base = tmp_path_factory.mktemp("comfyui")
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / _SERVED_AS).symlink_to(PACK)
    with _started(comfyui, base) as running:
        yield running


@pytest.fixture(scope="session")
def start_server(comfyui: Install) -> Callable[[Path], AbstractContextManager[Server]]:
    """Starts another server, for as long as its context lasts, on a base folder."""
    return partial(_started, comfyui)


def _front_end() -> list[str]:
    """The front end in the folder that is asked for; without one, the one that the install has."""
    folder = os.environ.get("STEER_TEST_FRONT_END")
    return ["--front-end-root", str(Path(folder).resolve())] if folder else []


@contextmanager
def _started(comfyui: Install, base: Path) -> Iterator[Server]:
    """A server on a free port, with the packs in the base folder's custom_nodes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = base / "server.log"
    command = [
        str(comfyui.python),
        "main.py",
        "--deterministic" if os.environ.get("STEER_TEST_DEVICE") == "cuda" else "--cpu",
        "--disable-auto-launch",
        "--base-directory",
        str(base),
        "--database-url",
        f"sqlite:///{base / 'comfyui.db'}",
        "--port",
        str(port),
        *_front_end(),
    ]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=comfyui.folder, env=_environment(), stdout=out, stderr=out)
    running = Server(port, base / "output")
    try:
        _wait(running, process, log)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _wait(server: Server, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.get("/system_stats")
            return
        except urllib.error.URLError:
            time.sleep(0.5)
    pytest.fail(f"ComfyUI did not start:\n{log.read_text()[-4000:]}")


_BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PAGE_MILLISECONDS = 240_000
# The graph that it opens with comes last, and would take the place of one that was built before.
_PAGE_READY = "() => window.app?.extensionManager?.workflow?.activeWorkflow"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser: Any, server: Server) -> Any:
    """The front end, ready; ``page.errors`` gathers exceptions, and what the pack's own files complain of."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(_PAGE_MILLISECONDS)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on(
        "console",
        lambda said: said.type == "error" and _SERVED_AS in said.location["url"] and page.errors.append(said.text),
    )
    # A first visit would be shown templates, in a dialog that comes late and takes the keys.
    page.request.post(f"http://127.0.0.1:{server.port}/settings/Comfy.TutorialCompleted", data="true")
    page.goto(f"http://127.0.0.1:{server.port}/", wait_until="domcontentloaded")
    page.wait_for_function(_PAGE_READY)
    return page


@pytest.fixture
def no_errors(page: Any) -> Iterator[None]:
    """Fails a test in which the page, or one of the pack's own files, complained."""
    yield
    assert page.errors == []


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the fuzz of tests/attacks is to look for what breaks."""
    parser.addoption("--fuzz-cases", type=int, default=1000, help="damaged inputs for each reader (default: 1000)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs a real ComfyUI is marked so."""
    for item in items:
        if "comfyui" in item.fixturenames:
            item.add_marker(pytest.mark.comfyui)
