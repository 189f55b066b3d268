"""What pip installs where it copies: all that the library and the command line need, ``models/`` among it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_USED = """
import steering_core
from steering_core.classifier import MINIATURE_CLASSIFIER, load_classifier
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.world import ATLAS
from steering_core.parser import parse

print(steering_core.__file__)
print(*parse("the old cat sleeps while a dog waits to the left of it").relations)
load_classifier(MINIATURE_CLASSIFIER)
assert ATLAS.is_file() and all((folder / "model_index.json").is_file() for folder in SHIPPED.values())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What a wheel is made of, which needs no network: a folder that lies in site-packages after an install."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("installed")
    build = ["-q", "egg_info", "--egg-base", folder, "build", "--build-base", folder / "build"]
    subprocess.run([sys.executable, "setup.py", *build, "--build-lib", folder / "lib"], cwd=ROOT, check=True)
    return folder / "lib"


def test_what_is_installed_reads_prompts(installed):
    ran = subprocess.run(
        [sys.executable, "-c", _USED],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    file, relations = ran.stdout.splitlines()
    assert Path(file).is_relative_to(installed)
    assert relations == "dog to the left of old cat"


def test_all_of_the_models_is_installed_and_nothing_beside_the_package(installed):
    there = [file.relative_to(ROOT / "models") for file in (ROOT / "models").rglob("*") if file.is_file()]
    assert there and [file for file in there if not (installed / "steering_core" / "models" / file).is_file()] == []
    assert [file.name for file in installed.iterdir()] == ["steering_core"]
