"""Where the miniatures ship, and the files in their folders beyond those of every diffusers pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.described import read_json
from ..files.shipped import MODELS_DIR

#: The first miniature that ships with the pack: a folder that ``StableDiffusionPipeline`` loads.
MINIATURE_DIR = MODELS_DIR / "miniature"
#: The second: a folder that ``FluxPipeline`` loads.
FLUX_MINIATURE_DIR = MINIATURE_DIR.with_name("flux_miniature")
#: By the names that command lines have for them.
SHIPPED = {"miniature": MINIATURE_DIR, "flux_miniature": FLUX_MINIATURE_DIR}

#: A linear map from latents to colours, for previews while sampling: ``factors`` (latent channels
#: by RGB) and ``bias`` (RGB), giving values in [-1, 1] from scaled latents.
LATENT_PREVIEW_FILE = "latent_preview.json"


def read_config(file: Path) -> dict[str, Any]:
    """A JSON file of a pipeline's folder.

    Raises:
        FileNotFoundError: names the file and what to do.
        ValueError: it is damaged.
    """
    if not file.exists():
        raise FileNotFoundError(
            f"{file} was expected in the miniature's folder. Reinstall the pack, or train the miniature anew."
        )
    return read_json(file)
