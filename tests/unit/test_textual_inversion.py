"""Words that were added with several vectors each: steering takes the tokens that the network is given."""

from __future__ import annotations

import pytest
import torch

from steering_core.backends.diffusers import ground_prompt, load_pipeline
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene
from steering_core.relations.statement import Span, SpatialRelation


@pytest.fixture(scope="module")
def pipeline():
    pipeline = load_pipeline(MINIATURE_DIR, "cpu")
    for word, vectors in (("<style>", 6), ("☂", 3), ("<one>", 1)):
        pipeline.load_textual_inversion(torch.randn(vectors, pipeline.text_encoder.config.hidden_size), token=word)
    return pipeline


def steered_words(pipeline, prompt: str, scene: Scene | None = None) -> list[list[str]]:
    """Of each object the tokens among those that the pipeline encodes."""
    tokenizer = pipeline.tokenizer
    ids = tokenizer(pipeline.maybe_convert_prompt(prompt, tokenizer)).input_ids
    tokens = ground_prompt(pipeline, prompt, scene).tokens
    return [tokenizer.convert_ids_to_tokens([ids[number] for number in of_object]) for of_object in tokens]


@pytest.mark.parametrize(
    "prompt",
    [
        "a <style> photo of a dog to the left of a cat",
        "a dog, ☂, to the left of a cat, <style>",
        "☂ ☂ <style> <one> a dog to the left of ☂ a cat",
        "a <one> dog to the left of a cat",
    ],
)
def test_objects_behind_such_a_word_are_found(pipeline, prompt):
    assert steered_words(pipeline, prompt) == [["dog</w>"], ["cat</w>"]]


def test_an_object_of_several_vectors_is_all_of_them(pipeline):
    prompt = "a dog above a <style> and a cat"
    subject, object = (
        Span.of(prompt, prompt.index(name), prompt.index(name) + len(name)) for name in ("dog", "<style>")
    )
    scene = Scene(prompt, (SpatialRelation(subject, Relation.ABOVE, object),))
    vectors = ["<style>", *(f"<style>_{number}" for number in range(1, 6))]
    assert steered_words(pipeline, prompt, scene) == [["dog</w>"], vectors]


def test_what_cannot_be_told_from_the_prompt_is_refused(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "maybe_convert_prompt", lambda prompt, tokenizer: f"{prompt} <style>_1")
    with pytest.raises(ValueError, match="prompt: the words that were added to the tokenizer by textual inversion"):
        ground_prompt(pipeline, "a dog above a cat")
