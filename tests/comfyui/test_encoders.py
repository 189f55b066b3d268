"""Which words the tokens stand for that a model attends to, by ComfyUI's own tokenizers and templates."""

from __future__ import annotations

import pytest

WORDS = ["giraffe", "airplane", "shape", "texture", "lighthouse"]
ENCODERS = (
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
