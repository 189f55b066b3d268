"""What comfy-cli would publish of the pack: all that runs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tools.comfy_test import BESIDE

PACK = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def published(comfy, tmp_path_factory):
    """The folder as it would be unpacked in custom_nodes."""
    root = tmp_path_factory.mktemp("published")
    shutil.copytree(PACK, root / "checkout", ignore=shutil.ignore_patterns(*BESIDE))
    subprocess.run(
        [comfy, "--skip-prompt", "node", "pack"], cwd=root / "checkout", check=True, capture_output=True, timeout=120
    )
    with zipfile.ZipFile(root / "checkout" / "node.zip") as archive:
        archive.extractall(root / "pack")
    return root / "pack"


def test_only_what_runs_is_published(published):
    runs = {"__init__.py", "nodes", "steering_core", "models", "web", "locales", "example_workflows", "subgraphs"}
    told = {"pyproject.toml", "setup.py", "README.md", "LICENSE"}
    assert {file.name for file in published.iterdir()} == runs | told


def test_what_is_published_can_be_read_on_windows(published):
    """comfy-test asks for it: some tools there read source in the machine's own encoding."""
    files = {file.relative_to(published): file for file in published.rglob("*.py")}
    assert files.keys() >= {Path("__init__.py"), Path("nodes/__init__.py"), Path("steering_core/__init__.py")}
    for file in files.values():
        file.read_text(encoding="utf-8").encode("cp1252")


def test_what_is_published_runs(comfyui, published):
    result = comfyui.run_alone("importing.py", pack=published)
    assert result["nodes"] == comfyui.run_alone("importing.py")["nodes"] and result["printed"] == ""
    for folder in ("models", "web", "locales", "example_workflows", "subgraphs"):
        files = [file.relative_to(PACK / folder) for file in (PACK / folder).rglob("*") if file.is_file()]
        assert files and [file for file in files if not (published / folder / file).exists()] == []
