"""Which words the tokens stand for that a model attends to, and that prompts are encoded as ComfyUI's own node does."""

from __future__ import annotations

import pytest

WORDS = ["giraffe", "airplane", "shape", "texture", "lighthouse"]
ENCODERS = (
    "SDXL",
    "SD 3",
    "FLUX.1",
    "FLUX.2 klein",
    "Z-Image",
    "Qwen-Image",
    "Krea 2",
    "Ovis",
    "LongCat",
    "HunyuanImage",
    "Anima",
    "OmniGen 2",
)


@pytest.fixture(scope="module")
def results(comfyui):
    return comfyui.run("encoders.py", *ENCODERS)


@pytest.mark.parametrize("name", ENCODERS)
def test_phrases_are_tied_in_every_segment_and_never_to_a_template(results, name):
    """The prompt holds words of the templates: user, shape, texture."""
    told = results[name]
    assert told["tokens"] == told["keys"]
    assert told["segments"] == (2 if name == "SD 3" else 1)
    for word, segments in zip(WORDS, told["words"], strict=True):
        assert segments == [word] * told["segments"]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_prompt_is_encoded_as_by_clip_text_encode(results, name):
    """All entries of the conditioning too, such as masks and pooled vectors."""
    assert results[name]["varied"] > 0
    assert results[name]["as CLIP Text Encode"]


def test_size_conditioning_of_sdxl_leaves_the_words_as_they_are(results):
    """So that the relations of a prompt are found in the conditioning of CLIP Text Encode SDXL too."""
    assert results["SDXL"]["as CLIP Text Encode SDXL"]
