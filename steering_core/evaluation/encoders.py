"""Encoders of pictures, whose features tell two sets of pictures from each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..files.hub import HERE, loading_from, local_folder
from ..pictures import from_image
from .folder import EvaluationFolder

#: An autoencoder's latent is averaged to so many cells along each side.
_CELLS = 4


class Encoder(Protocol):
    """Gives each picture's features."""

    def __call__(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(pictures, numbers)."""


class AutoencoderEncoder:
    """The latents of an autoencoder of diffusers, averaged in a grid of 4 × 4: colours and where they are.

    Args:
        autoencoder: that of the model that drew, for pictures of one size.
    """

    def __init__(self, autoencoder: Any) -> None:
        self._autoencoder = autoencoder

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> Tensor:
        """See ``Encoder``."""
        weight = next(self._autoencoder.parameters())
        pixels = torch.stack([from_image(picture) for picture in pictures]).to(weight) * 2 - 1
        if weight.dim() == 5:  # an autoencoder of videos, such as Qwen-Image's
            latents = self._autoencoder.encode(pixels[:, :, None]).latent_dist.mode()[:, :, 0]
        else:
            latents = self._autoencoder.encode(pixels).latent_dist.mode()
        return F.adaptive_avg_pool2d(latents.float(), _CELLS).flatten(1)


class TransformersEncoder:
    """A vision model of the transformers library, such as CLIP or DINOv2.

    Args:
        folder: with the model and its image processor, or its name in the local cache of Hugging Face; nothing is
            downloaded.
        device: of torch.

    Raises:
        ValueError: there is no such folder, no such model in it, or it wants Python of the folder to be run.
    """

    def __init__(self, folder: str, device: str) -> None:
        from transformers import AutoImageProcessor, AutoModel

        place = local_folder(folder, "config.json")
        otherwise = (
            f"{folder}: the folder of a vision model of the transformers library, such as CLIP or DINOv2, was expected"
        )
        with loading_from(place, otherwise):
            self._processor = AutoImageProcessor.from_pretrained(place, **HERE)
            self._model = AutoModel.from_pretrained(place, **HERE).to(device).eval()
        if not hasattr(self._model, "get_image_features") and self._model.main_input_name != "pixel_values":
            raise ValueError(f"{folder} holds {type(self._model).__name__}, which takes no pictures.")

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> Tensor:
        """See ``Encoder``."""
        inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._model.device)
        if hasattr(self._model, "get_image_features"):
            features = self._model.get_image_features(**inputs)
            return getattr(features, "pooler_output", features)
        return self._model(**inputs).pooler_output


def features_of(folder: EvaluationFolder, arm: str, encoder: Encoder, numbers: Sequence[int]) -> Iterator[Tensor]:
    """Features of an arm's pictures, prompt by prompt, (seeds, numbers).

    Raises:
        OSError: a picture is not there.
    """
    for number in numbers:
        yield encoder([folder.read_picture(arm, number, seed) for seed in folder.suite.seeds])
