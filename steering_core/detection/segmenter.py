"""Boxes around the masks of a segmentation model of the transformers library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..files.hub import HERE

#: The kind of model, as its configuration names it.
MASK2FORMER = "mask2former"


class Segmenter:
    """Mask2Former as a detector: each of its masks is an object, its box the least that holds the mask.

    Masks are taken one by one ("instance" segmentation), of a model that was trained on panoptic names too: they may
    overlap, as boxes do, and one that is less sure takes nothing from the others.

    Args:
        folder: with the model and its image processor.
        device: of torch.

    Raises:
        See ``from_pretrained`` of the transformers library, which ends in whatever a damaged file leads it to.
    """

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

        self._processor = AutoImageProcessor.from_pretrained(folder, **HERE)
        self.model = AutoModelForUniversalSegmentation.from_pretrained(folder, **HERE).to(device).eval()

    @torch.inference_mode()
    def __call__(self, picture: Image.Image, threshold: float) -> Iterator[dict[str, Any]]:
        """What is found with at least this score, each in the form of transformers' object-detection pipeline."""
        inputs = self._processor(images=picture, return_tensors="pt").to(self.model.device)
        (found,) = self._processor.post_process_instance_segmentation(
            self.model(**inputs),
            threshold=threshold,
            target_sizes=[(picture.height, picture.width)],
            return_binary_maps=True,
        )
        if found["segments_info"]:
            for mask, segment in zip(found["segmentation"], found["segments_info"]):
                label = self.model.config.id2label[segment["label_id"]]
                yield {"label": label, "score": segment["score"], "box": _corners(mask)}


def _corners(mask: Tensor) -> dict[str, int]:
    """Of the least box that holds a mask (H, W), in pixels, half-open."""
    rows, columns = mask.nonzero().unbind(dim=1)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return {"xmin": int(left), "ymin": int(top), "xmax": int(right), "ymax": int(bottom)}
