from __future__ import annotations

import random

import pytest
from reference_texts import SENTENCES, reference_texts
from tokenizers import Tokenizer
from tokenizers.decoders import ByteFallback, Fuse, Replace, Strip
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.decoders import Sequence as Decoders
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.trainers import UnigramTrainer
from transformers import PreTrainedTokenizerFast

from steering_core.parser import parse
from steering_core.regions import regions_of
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene
from steering_core.relations.statement import Span, SpatialRelation
from steering_core.report.outcomes import BoundSteps
from steering_core.tokens import PhraseNotFoundError, Token, ground, token_texts

CHUNK = 77


def scene(prompt: str, subject: str, object: str, nth: int = 0) -> Scene:
    """A relation between two phrases; the object is the nth occurrence of its text."""
    start = -1
    for _ in range(nth + 1):
        start = prompt.index(object, start + 1)
    first = prompt.index(subject)
    return Scene(
        prompt,
        (
            SpatialRelation(
                Span(subject, first, first + len(subject)), Relation.ABOVE, Span(object, start, start + len(object))
            ),
        ),
    )


def by_offset(tokenizer, prompt: str) -> list[Token]:
    encoding = tokenizer(prompt, return_offsets_mapping=True, return_special_tokens_mask=True)
    return [
        Token(index, "" if special else prompt[start:end], None if special else (start, end))
        for index, ((start, end), special) in enumerate(
            zip(encoding["offset_mapping"], encoding["special_tokens_mask"])
        )
    ]


def by_text(tokenizer, prompt: str) -> list[Token]:
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    return [Token(index, text) for index, text in enumerate(token_texts(ids, tokenizer.decode), 1)]


@pytest.fixture(scope="module")
def sentence_pieces():
    """A unigram tokenizer as sentence-piece models have it, so small that words fall into several pieces."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = Metaspace(), MetaspaceDecoder()
    sentences = ["a dog above a cat", "giraffe airplane", "the dogs and cats", "left of right of"] * 20
    trainer = UnigramTrainer(vocab_size=45, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.fixture(scope="module")
def bytes_for_the_rest():
    """Sentence pieces in which a run of bytes, for characters that no piece has, is whole or nothing but errors."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581a", "\u2581dog", "\u2581", *"adgo.,"]
    tokenizer = Tokenizer(Unigram([(piece, -float(len(pieces))) for piece in pieces], unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.decoder = Decoders([Replace("\u2581", " "), ByteFallback(), Fuse(), Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.mark.parametrize("tokens_of", [by_offset, by_text])
def test_phrases_of_several_tokens(tokenizer, tokens_of):
    prompt = "a photo of a teddy bear above a xylophone"
    grounded = ground(scene(prompt, "teddy bear", "xylophone"), tokens_of(tokenizer, prompt))
    texts = {token.index: token.text for token in tokens_of(tokenizer, prompt)}
    assert ["".join(texts[i] for i in indices).replace(" ", "") for indices in grounded.tokens] == [
        "teddybear",
        "xylophone",
    ]
    assert len(grounded.tokens[1]) > 1


@pytest.mark.parametrize("tokens_of", [by_offset, by_text])
def test_the_same_word_twice_is_told_apart(tokenizer, tokens_of):
    prompt = "a dog above a dog"
    first, second = ground(scene(prompt, "dog", "dog", nth=1), tokens_of(tokenizer, prompt)).tokens
    assert len(first) == len(second) == 1
    assert second[0] - first[0] == 3


def test_two_objects_of_one_name_are_told_apart(tokenizer):
    prompt = "a dog beside a cat, a dog above a cat"
    named = ground(parse(prompt), by_offset(tokenizer, prompt))
    assert named.phrases == ("dog", "cat", "dog", "cat") and named.names == ("dog", "cat", "dog 2", "cat 2")
    assert str(named).splitlines() == ["dog next to cat", "dog 2 above cat 2"]
    bound = BoundSteps(regions_of(named), 1, (0,), ())
    assert list(bound.as_json()["regions"]) == ["dog", "cat", "dog 2", "cat 2"]


def test_a_phrase_inside_a_longer_word_before_it_is_not_taken(tokenizer):
    prompt = "a catalog to the left of a cat"
    grounded = ground(parse(prompt), by_text(tokenizer, prompt))
    assert grounded.names == ("catalog", "cat")
    assert min(grounded.tokens[1]) > max(grounded.tokens[0])


def test_sentence_pieces_of_a_phrase(sentence_pieces):
    prompt = "a giraffe above an airplane"
    tokens = by_text(sentence_pieces, prompt)
    grounded = ground(parse(prompt), tokens)
    texts = {token.index: token.text for token in tokens}
    assert ["".join(texts[i] for i in indices) for indices in grounded.tokens] == ["giraffe", "airplane"]
    assert max(map(len, grounded.tokens)) > 1


def test_chunks_keep_their_places_in_the_joined_sequence(tokenizer):
    prompt = "a dog, " + "very fine, " * 60 + "above a cat"
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    texts = token_texts(ids, tokenizer.decode)
    room = CHUNK - 2
    tokens = [Token(i // room * CHUNK + 1 + i % room, text) for i, text in enumerate(texts)]
    edges = [Token(chunk * CHUNK + edge, "") for chunk in range(3) for edge in (0, CHUNK - 1)]
    grounded = ground(scene(prompt, "dog", "cat"), sorted(tokens + edges, key=lambda token: token.index))
    assert grounded.tokens[0] == (2,)
    assert grounded.tokens[1][0] > CHUNK


def test_weights_that_the_encoder_takes_away(tokenizer):
    grounded = ground(parse("a (dog:1.2) above ((a red cat))"), by_text(tokenizer, "a dog above a red cat"))
    assert grounded.names == ("dog", "red cat")
    assert len(grounded.tokens[0]) == 1


def test_characters_that_several_tokens_share(tokenizer):
    prompt = "a café above a naïve \N{HEAVY BLACK HEART} dog"
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert "".join(token_texts(ids, tokenizer.decode)) == prompt.replace(" ", "")
    grounded = ground(scene(prompt, "café", "\N{HEAVY BLACK HEART}"), by_text(tokenizer, prompt))
    assert all(grounded.tokens)


@pytest.mark.parametrize("kind", ["tokenizer", "sentence_pieces", "bytes_for_the_rest"])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_texts_are_those_of_the_whole_decoded(request, kind, sentence):
    tokenizer = request.getfixturevalue(kind)
    ids = tokenizer(sentence, add_special_tokens=False)["input_ids"]
    assert token_texts(ids, tokenizer.decode) == reference_texts(ids, tokenizer.decode)


def test_texts_of_any_ids(tokenizer):
    rng = random.Random(0)
    for _ in range(50):
        ids = rng.choices(range(len(tokenizer)), k=rng.randrange(100))
        assert token_texts(ids, tokenizer.decode) == reference_texts(ids, tokenizer.decode)


def test_a_phrase_that_without_blanks_begins_in_the_word_before_it(tokenizer):
    prompt = "banana na nana above a cat"
    nana, cat = Span("nana", 10, 14), Span("cat", 23, 26)
    spans = Scene(prompt, (SpatialRelation(nana, Relation.ABOVE, cat),))
    assert ground(spans, by_text(tokenizer, prompt)).tokens == ground(spans, by_offset(tokenizer, prompt)).tokens


@pytest.mark.parametrize("tokens_of", [by_offset, by_text])
def test_a_phrase_that_is_cut_off_is_shown(tokenizer, tokens_of):
    prompt = "a dog above a cat"
    with pytest.raises(PhraseNotFoundError) as error:
        ground(scene(prompt, "dog", "cat"), tokens_of(tokenizer, prompt)[:4])
    assert prompt in str(error.value)
    assert '"cat"' in str(error.value)
    assert "dog" in str(error.value).split("[")[1]


def test_objects_are_numbered_in_reading_order(tokenizer):
    prompt = "a dog above a cat to the left of a car"
    grounded = ground(parse(prompt), by_text(tokenizer, prompt))
    assert grounded.names == ("dog", "cat", "car")
    assert [(r.subject, r.relation, r.object) for r in grounded.relations] == [
        (0, Relation.ABOVE, 1),
        (1, Relation.LEFT_OF, 2),
    ]
    assert grounded.summary() == "dog above cat\ncat to the left of car"


def test_places_have_no_object_and_depth_is_told_but_tied_to_nothing(tokenizer):
    prompt = "a dog on the left, a cat above a car in front of a bird"
    grounded = ground(parse(prompt), by_text(tokenizer, prompt))
    assert grounded.names == ("dog", "cat", "car")
    place, above = grounded.relations
    assert (place.subject, place.relation, place.object, place.ends) == (0, Place.AT_LEFT, None, (0,))
    assert above.ends == (1, 2)
    assert grounded.summary().splitlines() == [
        "dog on the left",
        "cat above car",
        "read, but not steered: car in front of bird",
    ]


def test_depth_alone_is_no_relation_and_is_told():
    none, depth = ground(parse("a dog behind a cat"), []).summary().splitlines()
    assert none.startswith("No spatial relation") and depth == "read, but not steered: dog behind cat"


def test_no_relation_is_said():
    scene = ground(parse("a dog and a cat"), [])
    assert "No spatial relation" in scene.summary() and str(scene) == scene.summary()


def weighed(prompt: str) -> list[Token]:
    """Words as tokens; those in brackets have no weight."""
    return [Token(index, word.strip("()"), has_weight=word[0] != "(") for index, word in enumerate(prompt.split())]


def test_objects_without_weight_are_told_and_passed_over():
    scene = parse("a giraffe above an airplane and a red dog left of a cat")
    tokens = weighed("a (giraffe) above an airplane and a (red) dog left of a cat")
    grounded = ground(scene, tokens)
    assert grounded.phrases == ("red dog", "cat") and grounded.tokens == ((7, 8), (12,))
    assert grounded.summary().splitlines() == [
        "red dog to the left of cat",
        "read, but not steered: giraffe above airplane (giraffe: a weight of 0)",
    ]
    assert ground(grounded.scene, tokens) == grounded


def test_where_no_object_has_weight_nothing_is_steered():
    grounded = ground(parse("a giraffe above an airplane"), weighed("a (giraffe) above an (airplane)"))
    assert grounded.relations == () and grounded.tokens == ()
    assert "sampling will not be steered" in grounded.summary()
    assert "giraffe above airplane (giraffe and airplane: a weight of 0)" in grounded.summary()


@pytest.mark.parametrize("unseen", ["\u200b", "\u00ad"])
def test_what_a_tokenizer_keeps_of_unseen_characters_moves_no_token(unseen):
    words = ["a", "gi", unseen, "raffe", "above", "an", f"air{unseen}", "plane"]
    grounded = ground(parse("a giraffe above an airplane"), [Token(index, word) for index, word in enumerate(words)])
    assert [index for indices in grounded.tokens for index in indices if words[index] != unseen] == [1, 3, 6, 7]
