"""The network that has read prompts, its files and its training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from steering_core.parser import encoder
from steering_core.parser.encoder import MOST_PIECES, WIDTH
from steering_core.parser.likelihood import likelihoods, words_of
from steering_core.parser.network import (
    NETWORK_DIR,
    READ_PIECES,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    load_reader,
    together,
)
from steering_core.parser.rounding import restored, rounded
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from tools import train_reader
from tools.prompt_facts import Fact, prompts_of
from tools.simple_prompts import simple_prompts


@pytest.fixture(scope="module")
def reader():
    return load_reader()


def pieces_of(reader, prompt: str):
    return reader.in_pieces(prompt, words_of(prompt))


def test_words_are_those_of_the_prompt(reader) -> None:
    prompt = "a Café-table_lamp,\n(red:1.2) \u200bowl's \u0130ris\u0301 x"
    pieces = pieces_of(reader, prompt)
    assert [prompt[start:end] for start, end in pieces.words][:4] == ["a", "Café-table", "lamp", "red"]
    tokens = [reader.tokenizer.id_to_token(one) for one in pieces.ids]
    at = [prompt[start:end] for start, end in pieces.words].index("red")
    assert tokens[pieces.first[at]] == "red" == tokens[pieces.last[at]]
    assert len(pieces.words) == len(pieces.first) == len(pieces.last)


def test_a_line_is_told_from_a_blank(reader) -> None:
    assert pieces_of(reader, "a cat\na dog").ids != pieces_of(reader, "a cat a dog").ids


@pytest.mark.parametrize("piece", ["a dog ", "e\u0301", "a-", "\U0001f600 ", "word" * 30 + " "])
def test_no_more_is_read_than_the_network_takes(reader, piece: str) -> None:
    pieces = pieces_of(reader, piece * (8_000 // len(piece)))
    assert len(pieces.ids) <= READ_PIECES and len(pieces.words) <= READ_PIECES


def test_prompts_together_are_read_as_alone(reader) -> None:
    prompts = [pieces_of(reader, prompt) for prompt in ("a cat above a dog", "a photo of a bird to the left of a tree")]
    alone = [reader.network(together([one])) for one in prompts]
    stated, objects = reader.network(together(prompts))
    for at, one in enumerate(prompts):
        count = len(one.words)
        torch.testing.assert_close(stated[at, :, :count], alone[at][0][0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(objects[at, :, :count, :count], alone[at][1][0], atol=1e-4, rtol=1e-4)


def test_rounded_weights_are_off_by_a_step_at_most() -> None:
    weights = {"a": torch.randn(5, 64), "b": torch.randn(3), "c": torch.zeros(2, 32), "d": torch.randn(2, 3, 32)}
    stored = rounded(weights)
    assert stored["a"].dtype is torch.uint8 and stored["a"].shape == (5, 32)
    again = restored(stored)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], weights[name]) for name in ("b", "c", "d"))
    groups = weights["a"].unflatten(-1, (-1, 32))
    step = groups.abs().amax(-1, keepdim=True) / 8
    # The largest of the other sign may be 8 steps off the middle, and 7 is the most there.
    assert ((again["a"].unflatten(-1, (-1, 32)) - groups).abs() <= 1.01 * step).all()
    assert (again["a"] - weights["a"]).abs().mean() < 0.3 * step.mean()


@pytest.mark.parametrize("weight", [float("nan"), 1e6])
def test_weights_that_cannot_be_stored_are_refused(weight) -> None:
    with pytest.raises(ValueError, match="a: weights of a size that can be stored"):
        rounded({"a": torch.full((2, 32), weight)})


def test_it_tells_left_from_right() -> None:
    likely = likelihoods("a wooden chair to the left of a lamp")
    chair, lamp = 2, 8
    left = likely.best(Relation.LEFT_OF, [chair], [lamp])
    assert left.likelihood > 0.5 > likely.best(Relation.RIGHT_OF, [chair], [lamp]).likelihood
    assert likely.best(Relation.RIGHT_OF, [lamp], [chair]) == (Relation.RIGHT_OF, lamp, chair, left.likelihood)
    assert likely.best(Place.AT_LEFT, [chair]).likelihood < 0.5


def test_loading_draws_no_random_numbers_and_minds_no_default_device() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):
        load_reader()
        assert likelihoods("a red kite above the sea") is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_a_file_that_is_missing_or_spoiled_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=WEIGHTS_FILE):
        load_reader(tmp_path)
    (tmp_path / TOKENIZER_FILE).write_bytes((NETWORK_DIR / TOKENIZER_FILE).read_bytes())
    (tmp_path / WEIGHTS_FILE).write_bytes(b"no weights")
    with pytest.raises(ValueError, match=WEIGHTS_FILE):
        load_reader(tmp_path)
    for spoiled in (b"", b"{}", b"\xff", (NETWORK_DIR / TOKENIZER_FILE).read_bytes()[:-1]):
        (tmp_path / TOKENIZER_FILE).write_bytes(spoiled)
        with pytest.raises(ValueError, match=f"{TOKENIZER_FILE} is spoiled"):
            load_reader(tmp_path)


def test_names_stand_for_words() -> None:
    prompt = "(Hot Air balloon:1.2) above the cat's bowl, a cat_on_lap"
    words = words_of(prompt)

    def ends(subject: str, object: str) -> list:
        return list(train_reader._ends(prompt, words, Fact((subject,), "above", (object,), False)))

    assert ends("hot air balloon", "bowl") == [(2, 8)]
    assert ends("balloon", "cat") == [(2, 7), (2, 10)]
    assert ends("cat_on_lap", "dog") == []


#: Of the networks that are trained here; what is left of the one that ships takes part in nothing.
LAYERS = 2


@pytest.fixture
def training(reader, tmp_path, monkeypatch):
    """A small one; takes more options, and gives the folder that it writes and the prompts that it learns from."""
    start = tmp_path / "start"
    start.mkdir()
    (start / "tokenizer.json").write_text((NETWORK_DIR / TOKENIZER_FILE).read_text(encoding="utf-8"), encoding="utf-8")
    save_file(as_mpnet(reader), start / "model.safetensors")
    since = tmp_path / "since.txt"
    since.write_text("a bird\n", encoding="utf-8")
    learned = tmp_path / "prompts.txt"
    learned.write_text(
        "a cat above a dog\n    cat above dog\na red fox on the left, an owl\n    fox at_left; (owl near fox)\na key\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(train_reader, "SIMPLE", 8)
    monkeypatch.setattr(train_reader, "EPOCHS", 2)
    monkeypatch.setattr(train_reader, "NETWORK_DIR", tmp_path / "out")
    monkeypatch.setattr(train_reader, "LEARNED", learned)
    monkeypatch.setattr(train_reader, "SINCE", since)
    monkeypatch.setattr(train_reader, "LAYERS", LAYERS)
    monkeypatch.setattr(encoder, "LAYERS", LAYERS)

    def train(*options: str) -> tuple[Path, Path]:
        monkeypatch.setattr("sys.argv", ["train_reader", "--start", str(start), *options])
        train_reader.main()
        return tmp_path / "out", learned

    return train


def test_it_is_trained_on_prompts_and_ships_whole(reader, training, monkeypatch) -> None:
    monkeypatch.setattr(train_reader, "EPOCHS", 12)
    monkeypatch.setattr(train_reader, "RATE", 5e-3)
    out, learned = training()
    again = load_reader(out)
    assert sorted(path.name for path in out.iterdir()) == [WEIGHTS_FILE, TOKENIZER_FILE]
    assert pieces_of(again, "a cat above a dog").words == pieces_of(reader, "a cat above a dog").words
    before, after = (
        train_reader.loss_of(one.network, [train_reader.example_of(one, *prompt) for prompt in prompts_of(learned)])
        for one in (fresh(again), again)
    )
    assert after < 0.7 * before


def test_a_stopped_training_ends_as_the_unbroken_one_does(training, tmp_path, monkeypatch) -> None:
    out, learned = training()
    unbroken = (out / WEIGHTS_FILE).read_bytes()
    keep, loss_of, calls = tmp_path / "kept.pt", train_reader.loss_of, []

    def stopping(*given):
        calls.append(given)
        if keep.exists():
            raise KeyboardInterrupt
        return loss_of(*given)

    (out / WEIGHTS_FILE).unlink()
    monkeypatch.setattr(train_reader, "loss_of", stopping)
    with pytest.raises(KeyboardInterrupt):
        training("--keep", str(keep))
    monkeypatch.setattr(train_reader, "loss_of", lambda *given: calls.append(given) or loss_of(*given))
    of_an_epoch = len(calls) - 1
    calls.clear()
    training("--keep", str(keep))
    assert (out / WEIGHTS_FILE).read_bytes() == unbroken and len(calls) == of_an_epoch

    learned.write_text("a cat above a bird\n    cat above bird\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        training("--keep", str(keep))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_what_is_no_training_to_go_on_with_is_named(training, tmp_path, capsys, content) -> None:
    (tmp_path / "kept.pt").write_bytes(content)
    with pytest.raises(SystemExit):
        training("--keep", str(tmp_path / "kept.pt"))
    assert "kept.pt: a training to go on with was expected. Remove it" in capsys.readouterr().err


def fresh(reader):
    """A network that has learned nothing, with the same pieces."""
    torch.manual_seed(0)
    return type(reader)(type(reader.network)(reader.tokenizer.get_vocab_size()).eval(), reader.tokenizer)


def as_mpnet(reader) -> dict[str, torch.Tensor]:
    """The encoder's weights by MPNet's names."""
    own = reader.network.encoder.state_dict()
    theirs = {
        "embeddings.word_embeddings.weight": own["pieces.weight"],
        # Of positions the first two are no piece's.
        "embeddings.position_embeddings.weight": torch.cat([torch.zeros(2, WIDTH), own["positions.weight"]]),
        "encoder.relative_attention_bias.weight": own["apart.weight"],
    }
    names = {
        "out": "attention.attn.o",
        "attended": "attention.LayerNorm",
        "wide": "intermediate.dense",
        "narrow": "output.dense",
        "fed": "output.LayerNorm",
    }
    for end in ("weight", "bias"):
        theirs[f"embeddings.LayerNorm.{end}"] = own[f"norm.{end}"]
        for layer in range(len(reader.network.encoder.layers)):
            ours, to = f"layers.{layer}.", f"encoder.layer.{layer}."
            for part, weight in zip("qkv", own[f"{ours}qkv.{end}"].chunk(3)):
                theirs[f"{to}attention.attn.{part}.{end}"] = weight.clone()
            for name, other in names.items():
                theirs[f"{to}{other}.{end}"] = own[f"{ours}{name}.{end}"]
    return theirs


def test_the_encoder_is_mpnets(reader) -> None:
    ours = reader.network.encoder
    config = transformers.MPNetConfig(vocab_size=len(ours.pieces.weight), max_position_embeddings=MOST_PIECES + 2)
    theirs = transformers.MPNetModel(config, add_pooling_layer=False).eval()
    theirs.load_state_dict(as_mpnet(reader))
    batch = together([pieces_of(reader, prompt) for prompt in ("a cat " * 50, "a dog and a bird")])
    # MPNet takes a piece of the number 1 for none; here it may be any piece that only fills up.
    ids = torch.where(batch.padding, 1, batch.ids)
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=(~batch.padding).long()).last_hidden_state
        found = ours(batch.ids, batch.padding)
    torch.testing.assert_close(found[~batch.padding], wanted[~batch.padding], atol=1e-3, rtol=1e-3)


def test_simple_prompts_are_the_same_each_time() -> None:
    assert list(simple_prompts(50, 0)) == list(simple_prompts(50, 0)) != list(simple_prompts(50, 1))
