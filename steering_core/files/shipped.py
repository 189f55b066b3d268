"""Where the files of ``models/`` lie, which ship with the pack: miniatures, classifiers, the network of the parser."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "models"

#: In a clone, and in ComfyUI, beside the package; where pip has installed a copy, within it (see setup.py).
MODELS_DIR = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "models"
