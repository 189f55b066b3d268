"""Mask2Former as a detector: boxes around its masks, under COCO's names."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    SwinConfig,
)

from steering_core.detection.boxes import Box
from steering_core.detection.detectors import TransformersDetector
from steering_core.detection.names import canonical
from steering_core.miniature.world import render, sample_layout

#: As COCO's panoptic checkpoints name them.
_LABELS = {0: "dog", 1: "couch", 2: "sky-other-merged"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reduced network with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mask2former")
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=2, out_features=stages
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        num_queries=6,
        id2label=_LABELS,
        use_pretrained_backbone=False,
    )
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


def test_what_it_finds_are_boxes_in_shares_of_the_picture(folder):
    """With random weights it means nothing; its form does."""
    detector = TransformersDetector(folder, "cpu", least_score=0.01)
    assert detector.description.startswith("mask2former ")
    detector.check(["dog", "sofa", "sky"])
    layout = sample_layout(np.random.default_rng(0), ["dog", "couch"])
    found = detector.find(Image.fromarray(render(layout)), ["dog", "sofa", "sky"])
    assert found and {one.label for one in found} <= {"dog", "sofa", "sky"}
    assert found == sorted(found, key=lambda one: -one.score)
    for box in (one.box for one in found):
        assert box.area > 0 and box.left + box.width <= 1 and box.top + box.height <= 1


def test_boxes_hold_the_masks_and_masks_may_overlap(folder, monkeypatch):
    """Of three queries: a dog in the upper left quarter, a couch over the lower half, and one that is no object."""
    detector = TransformersDetector(folder, "cpu", least_score=0.1)
    classes = torch.full((1, 3, len(_LABELS) + 1), -20.0)
    for query, label in enumerate((0, 1, len(_LABELS))):
        classes[0, query, label] = 20.0
    masks = torch.full((1, 3, 16, 16), -20.0)
    masks[0, 0, :8, :8] = masks[0, 1, 6:] = masks[0, 2] = 20.0
    outputs = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    monkeypatch.setattr(Mask2FormerForUniversalSegmentation, "forward", lambda self, **inputs: outputs)
    dog, sofa = sorted(detector.find(Image.new("RGB", (64, 32)), ["sofa", "dog"]), key=lambda one: one.label)
    assert (dog.label, sofa.label) == ("dog", "sofa") and min(dog.score, sofa.score) > 0.9
    for found, wanted in ((dog.box, Box(0, 0, 0.5, 0.5)), (sofa.box, Box(0, 0.375, 1, 0.625))):
        assert found.sides == pytest.approx(wanted.sides, abs=0.04)


def test_no_mask_is_no_box(folder):
    detector = TransformersDetector(folder, "cpu", least_score=1.0)
    assert detector.find(Image.new("RGB", (64, 64)), ["dog"]) == []


def test_an_object_that_it_does_not_know_is_refused(folder):
    with pytest.raises(ValueError, match="does not know bus, only dog, couch, sky-other-merged"):
        TransformersDetector(folder, "cpu").check(["bus"])


@pytest.mark.parametrize(
    ("name", "coco"),
    [
        ("sky-other-merged", "sky"),
        ("table-merged", "dining table"),
        ("door-stuff", "door"),
        ("window-other", "window"),
        ("wall-brick", "wall-brick"),
        ("Television", "tv"),
        ("sofa", "couch"),
    ],
)
def test_panoptic_names_and_synonyms_are_mapped(name, coco):
    assert canonical(name) == coco
