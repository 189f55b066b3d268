from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    BertConfig,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    SwinConfig,
)

from steering_core.cli.main import main
from steering_core.detection.boxes import Box, Found
from steering_core.detection.detectors import TransformersDetector
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.look import MiniatureDetector
from steering_core.miniature.world import render, sample_layout
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation
from steering_core.training.generated import GeneratedPictures

NAMES = ("dog", "cat", "bus")
_ATTENTION = {f"{part}_{size}": value for part in ("encoder", "decoder") for size, value in (
    ("ffn_dim", 16),
    ("attention_heads", 2),
)}  # fmt: skip


class SeenAsDrawn:
    """A model and a detector in one: how the second object lies to the first, and how many are there, picture by
    picture."""

    description = "as drawn"

    def __init__(self, places):
        self._places, self.prompts, self.seeds = iter(places), [], []

    def draw(self, prompt, seed):
        self.prompts.append(prompt)
        self.seeds.append(seed)
        return Image.new("RGB", (8, 8))

    def check(self, names):
        pass

    def find(self, picture, names):
        place = next(self._places)
        first, second = Box(0.4, 0.4, 0.2, 0.2), Box(0.4 - 0.3 * place[0], 0.4 - 0.3 * place[1], 0.2, 0.2)
        return [Found(names[0], first), Found(names[1], second)][: place[2]]


def test_pictures_are_drawn_until_one_shows_the_wanted_relation():
    """Indices want left, right, above and below in turn; a missing object or another relation is drawn again."""
    right, left, missing = (1, 0, 2), (-1, 0, 2), (-1, 0, 1)
    model = SeenAsDrawn([right, missing, left, right])
    pictures = GeneratedPictures(model.draw, model, NAMES, 2, 0, {})
    first, second = pictures[0], pictures[1]
    assert (first.relation, second.relation) == (Relation.LEFT_OF, Relation.RIGHT_OF)
    assert [f" {relation} " in prompt for relation, prompt in zip(
        ["to the left of"] * 3 + ["to the right of"], model.prompts
    )] == [True] * 4  # fmt: skip
    assert {first.subject, first.object} <= set(NAMES) and first.subject != first.object
    assert len(set(model.seeds)) == 4
    alone = SeenAsDrawn([right])
    assert GeneratedPictures(alone.draw, alone, NAMES, 2, 0, {})[1].key == second.key
    assert (alone.prompts, alone.seeds) == (model.prompts[3:], model.seeds[3:])


def test_another_relation_serves_where_the_wanted_one_does_not_come():
    model = SeenAsDrawn([(1, 1, 2)] * 3 + [(0, -1, 2)] * 100)
    assert GeneratedPictures(model.draw, model, NAMES, 1, 0, {})[0].relation is Relation.ABOVE
    assert 20 < len(model.seeds) < 40


def test_a_model_that_never_draws_it_is_told():
    model = SeenAsDrawn([(1, 1, 2)] * 1000)
    with pytest.raises(ValueError, match="none with both"):
        GeneratedPictures(model.draw, model, NAMES, 1, 0, {})[0]


def test_objects_are_checked_before_anything_is_drawn(capsys, tmp_path):
    for wrong in ((), ("dog",), ("dog", "dog", "cat")):
        with pytest.raises(ValueError, match="different objects"):
            GeneratedPictures(None, SeenAsDrawn([]), wrong, 1, 0, {})
    told = ["record", "--source", "generated", "--out", str(tmp_path / "a"), "--objects", "dog", "unicorn"]
    assert main(told) == 2
    assert "does not know unicorn" in capsys.readouterr().err


def test_the_miniatures_detector_gives_boxes_in_shares_of_the_picture():
    layout = sample_layout(np.random.default_rng(0), ["dog", "bus"])
    pictured = MiniatureDetector().find(Image.fromarray(render(layout)), ("dog", "cat", "bus"))
    found = {one.label: one.box for one in pictured}
    assert set(found) == {"dog", "bus"}
    for placement in layout.placements:
        box = found[placement.name]
        assert [part * 128 for part in box.centre] == pytest.approx([placement.x, placement.y], abs=2)
        assert box.area * 128**2 == pytest.approx(placement.width * placement.height, rel=0.2)


def scene() -> Image.Image:
    """A rendered scene of 128×96."""
    layout = sample_layout(np.random.default_rng(0), ["dog", "bus"])
    return Image.fromarray(render(layout)).crop((0, 0, 128, 96))


def rt_detr(folder, model_class=RTDetrForObjectDetection, config_class=RTDetrConfig):
    model = model_class(
        config_class(
            backbone_config=RTDetrResNetConfig(
                embedding_size=8,
                hidden_sizes=[8, 8, 8, 8],
                depths=[1, 1, 1, 1],
                layer_type="basic",
                out_features=["stage2", "stage3", "stage4"],
            ),
            encoder_in_channels=[8, 8, 8],
            encoder_hidden_dim=16,
            d_model=16,
            decoder_layers=2,
            encoder_layers=1,
            num_queries=10,
            decoder_in_channels=[16, 16, 16],
            num_denoising=0,
            id2label={0: "dog", 1: "cat"},
            **_ATTENTION,
        )
    )
    model.model.decoder.class_embed[-1].bias.data = torch.tensor([4.0, -4.0])
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def rt_detr_v2(folder):
    rt_detr(folder, RTDetrV2ForObjectDetection, RTDetrV2Config)


def _owl(model_class, config_class):
    """A model and its tokenizer, sure of whatever it is asked for."""
    tokenizer = CLIPTokenizer.from_pretrained(MINIATURE_DIR / "tokenizer")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 77, "eos_token_id": tokenizer.eos_token_id}
    model = model_class(
        config_class(
            text_config={**sizes, **words, "pad_token_id": tokenizer.pad_token_id},
            vision_config={**sizes, "image_size": 64, "patch_size": 16},
            projection_dim=16,
        )
    )
    model.class_head.logit_shift.bias.data.fill_(9.0)
    return model, tokenizer


def owl_v2(folder):
    model, tokenizer = _owl(Owlv2ForObjectDetection, Owlv2Config)
    model.box_head.dense2.weight.data.zero_()  # so that each patch's box is the patch
    model.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)


def owl_vit(folder):
    model, tokenizer = _owl(OwlViTForObjectDetection, OwlViTConfig)
    model.save_pretrained(folder)
    side = {"height": 64, "width": 64}
    OwlViTProcessor(OwlViTImageProcessor(size=side, crop_size=side), tokenizer).save_pretrained(folder)


def grounding_dino(folder):
    tokenizer = AutoTokenizer.from_pretrained(MINIATURE_DIR / "tokenizer")
    model = GroundingDinoForObjectDetection(
        GroundingDinoConfig(
            backbone_config=SwinConfig(
                image_size=64,
                embed_dim=8,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                window_size=2,
                out_features=["stage2", "stage3", "stage4"],
            ),
            text_config=BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=16,
            ),
            num_queries=10,
            encoder_layers=1,
            decoder_layers=2,
            d_model=32,
            max_text_len=64,
            **_ATTENTION,
        )
    )
    model.save_pretrained(folder)
    image_processor = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(image_processor, tokenizer).save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "found_names"),
    [
        (rt_detr, {"dog"}),
        (rt_detr_v2, {"dog"}),
        (owl_vit, {"dog", "cat"}),
        (owl_v2, {"dog", "cat"}),
        (grounding_dino, {"dog", "cat"}),
    ],
)
def test_detectors_of_transformers_find_boxes_in_shares_of_the_picture(make, found_names, tmp_path):
    """Architectures at reduced size with random weights: what they find means nothing, its form does."""
    torch.manual_seed(0)
    make(tmp_path)
    detector = TransformersDetector(str(tmp_path), "cpu")
    detector.check(["dog", "cat"])
    found = detector.find(scene(), ["dog", "cat"])
    assert found and {one.label for one in found} <= found_names
    assert found == sorted(found, key=lambda one: -one.score)
    for box in (one.box for one in found):
        assert 0 <= box.left <= box.left + box.width <= 1.001
        assert 0 <= box.top <= box.top + box.height <= 1.001
        assert box.area > 0
    for position, one in enumerate(found):
        same = [better for better in found[:position] if better.label == one.label]
        assert not any(one.box.overlap(better.box) > 0.5 for better in same)


def test_the_boxes_of_owl_v2_are_its_patches(tmp_path):
    """A picture of 128×96 is padded to a square of 4×4 patches of 32: a box is centred on its patch's far corner."""
    owl_v2(tmp_path)
    detector = TransformersDetector(str(tmp_path), "cpu")
    boxes = [one.box for one in detector.find(Image.new("RGB", (128, 96)), ["dog"])]
    first = min(boxes, key=lambda box: box.left + box.top)
    assert (first.left * 128, first.top * 96) == (pytest.approx(16, abs=1), pytest.approx(16, abs=1))
    assert (first.width * 128, first.height * 96) == (pytest.approx(32, abs=1), pytest.approx(32, abs=1))


def test_a_detector_with_fixed_classes_refuses_others_and_a_folder_without_one_is_told(tmp_path):
    rt_detr(tmp_path / "detector")
    with pytest.raises(ValueError, match="does not know bus, only dog, cat"):
        TransformersDetector(str(tmp_path / "detector"), "cpu").check(["bus"])
    with pytest.raises(ValueError, match="nowhere"):
        TransformersDetector(str(tmp_path / "nowhere"), "cpu")
    with pytest.raises(ValueError, match="clip_text_model"):
        TransformersDetector(str(MINIATURE_DIR / "text_encoder"), "cpu")


def test_pictures_of_the_miniature_are_recorded(tmp_path, capsys):
    told = ["record", "--source", "generated", "--objects", "dog", "couch", "banana", "--count", "2", "--drawing-steps"]
    how = ["12", "--steps", "2", "--recorded", "0", "--method", "noise", "--map-size", "8"]
    assert main([*told, *how, "--out", str(tmp_path / "a")]) == 0
    manifest = (tmp_path / "a" / "manifest.json").read_text()
    assert '"kind": "generated"' in manifest and '"drawing_steps": 12' in manifest
    from steering_core.training.dataset import read_manifest, read_records

    records = read_records(tmp_path / "a", read_manifest(tmp_path / "a"))
    assert [CARDINAL_RELATIONS[index] for index in records.relation[::2]] == [Relation.LEFT_OF, Relation.RIGHT_OF]
