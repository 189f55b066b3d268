"""Train the parser's network on prompts and what a reader finds in them (a language model).

python -m tools.train_reader --start FOLDER   from all-mpnet-base-v2; writes models/prompt_reader; with --keep FILE
                                              a stopped training goes on after its last epoch
python -m tools.train_reader                  tells how the parser does by the network that ships, with each pair of
                                              thresholds, on prompts that it was not trained on

FOLDER has ``model.safetensors`` and ``tokenizer.json``; the card (models/prompt_reader) says where they can be had.
Ninety minutes on two cores with bf16.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from steering_core.files.whole import save_text, written_whole
from steering_core.out_of_memory import is_out_of_memory
from steering_core.parser.encoder import LAYERS
from steering_core.parser.judged import Thresholds, judged
from steering_core.parser.likelihood import words_of
from steering_core.parser.network import (
    KINDS,
    KINDS_OF_TWO,
    NETWORK_DIR,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Pieces,
    PromptNetwork,
    PromptReader,
    together,
)
from steering_core.parser.rounding import rounded
from steering_core.parser.rules import read_by_rules
from steering_core.parser.sentences import last_alternatives
from steering_core.wording import one_line
from tools.command import command_line
from tools.prompt_facts import INVERSES, LEARNED, SINCE, Fact, Score, prompts_of
from tools.simple_prompts import simple_prompts

EPOCHS = 3
SEED = 0
#: Pieces of a step, and the largest learning rates of the encoder and of what stands on it.
PIECES, ENCODER_RATE, RATE = 600, 5e-5, 5e-4
_WARM_UP, _MOST_GRADIENT = 0.06, 1.0
#: Of the tokenizer's list, which begins with what is frequent, pieces that are kept beside those of the prompts.
FREQUENT = 16_000
#: Every so many-th prompt of either file is held out, for thresholds to be chosen by: more of the later ones, which are
#: of the kinds that are read worst.
_HELD_OUT, _HELD_OUT_SINCE = 20, 8
#: Plain prompts, of which the rules tell what they state.
SIMPLE = 2_000
#: Thresholds that a check tries.
_LEAST, _SURE = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9), (0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 1.1)

#: A prompt and what a reader finds in it.
Labelled = tuple[str, list[Fact]]
#: A statement's ends, by the numbers of words; a place has no object.
Ends = tuple[int, int | None]


@dataclass(frozen=True)
class Example:
    """A prompt for the network.

    Attributes:
        stated: each statement's kind, and the words that may be its ends: any of them is right.
        undecided: the same of what may be read or not.
    """

    pieces: Pieces
    stated: tuple[tuple[str, tuple[Ends, ...]], ...]
    undecided: tuple[tuple[str, tuple[Ends, ...]], ...]


def main() -> None:
    """Train, and write or tell."""
    parser = command_line(__doc__)
    parser.add_argument("--start", type=Path, metavar="FOLDER", help="of all-mpnet-base-v2: train")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="what a stopped training goes on from")
    options = parser.parse_args()
    learned, held_out = divided({LEARNED: _HELD_OUT, SINCE: _HELD_OUT_SINCE})
    if options.start is None:
        check(held_out)
        return
    try:
        reader = trained(learned, options.start, options.keep)
    except ValueError as error:
        parser.error(str(error))
    NETWORK_DIR.mkdir(parents=True, exist_ok=True)
    save_text(reader.tokenizer.to_str(), NETWORK_DIR / TOKENIZER_FILE)
    with written_whole(NETWORK_DIR / WEIGHTS_FILE) as file:
        save_file(rounded(reader.network.state_dict()), file)


def divided(files: Mapping[Path, int]) -> tuple[list[Labelled], list[Labelled]]:
    """The prompts that are learned from, and those that are held out.

    Args:
        files: for each a number n; every n-th prompt is held out.
    """
    learned, held_out = list[Labelled](), list[Labelled]()
    for file, every in files.items():
        for at, one in enumerate(prompts_of(file)):
            (learned if at % every else held_out).append(one)
    return learned, held_out


def trained(prompts: Sequence[Labelled], start: Path, keep: Path | None = None) -> PromptReader:
    """A network that has learned from prompts.

    Args:
        keep: written after each epoch; a training that is found there goes on.

    Raises:
        ValueError: what is found there is damaged, or of other prompts or settings.
    """
    torch.manual_seed(SEED)
    order = random.Random(SEED)
    simple = list(simple_prompts(SIMPLE, SEED))
    tokenizer, kept = pruned_tokenizer(start, [*(prompt for prompt, _ in prompts), *simple])
    reader = PromptReader(PromptNetwork(len(kept)), tokenizer)
    network = reader.network.train()
    network.encoder.load_state_dict(encoder_weights(load_file(start / "model.safetensors"), kept))
    examples = [example_of(reader, prompt, facts) for prompt, facts in prompts]
    examples += [simple_example(reader, prompt) for prompt in simple]
    total = EPOCHS * len(list(steps(examples, order)))
    encoder = list(network.encoder.parameters())
    own = {id(weight) for weight in encoder}
    rest = [weight for weight in network.parameters() if id(weight) not in own]
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": ENCODER_RATE}, {"params": rest, "lr": RATE}], weight_decay=0.01, fused=True
    )
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / (_WARM_UP * total)) * max(0.0, 1 - step / total)
    )
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "rates": rates}
    run_hash = hashlib.sha256(repr((prompts, SIMPLE, SEED, EPOCHS, PIECES, ENCODER_RATE, RATE)).encode()).hexdigest()
    first = _restored(keep, run_hash, parts, order) if keep and keep.exists() else 0
    for epoch in range(first, EPOCHS):
        losses = []
        for step in steps(examples, order):
            loss = loss_of(network, step)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), _MOST_GRADIENT)
            optimizer.step()
            rates.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {sum(losses) / len(losses):.3f} a prompt", flush=True)
        if keep:
            state = {
                "of": run_hash,
                "epochs": epoch + 1,
                "order": order.getstate(),
                "torch": torch.get_rng_state(),
            }
            with written_whole(keep) as partial, partial.open("wb") as file:
                torch.save({**state, **{name: part.state_dict() for name, part in parts.items()}}, file)
    network.eval().requires_grad_(False)
    return reader


def _restored(keep: Path, run_hash: str, parts: Mapping[str, Any], order: random.Random) -> int:
    """Bring all to where a stopped training was; how many epochs it had.

    Args:
        run_hash: what tells its prompts and settings from others.

    Raises:
        ValueError: the file is damaged, or of other prompts or settings.
    """
    try:
        state = torch.load(keep, weights_only=True)
        if state["of"] != run_hash:
            raise ValueError("it is of other prompts or settings")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        order.setstate(state["order"])
        torch.set_rng_state(state["torch"])
        return int(state["epochs"])
    except Exception as error:  # a damaged pickle ends in whatever its bytes happen to ask for
        if is_out_of_memory(error):
            raise
        raise ValueError(f"{keep}: a training to go on with was expected. Remove it: {one_line(error)}") from error


def pruned_tokenizer(start: Path, prompts: Sequence[str]) -> tuple[Tokenizer, list[int]]:
    """MPNet's tokenizer with fewer pieces, and their numbers in the whole one."""
    content = json.loads((start / "tokenizer.json").read_text(encoding="utf-8"))
    content["padding"] = None
    whole = Tokenizer.from_str(json.dumps({**content, "truncation": None}))
    used = {piece for encoding in whole.encode_batch(list(prompts)) for piece in encoding.ids}
    special = {token["id"] for token in content["added_tokens"]}
    kept = sorted(
        number
        for piece, number in content["model"]["vocab"].items()
        if number in used | special or _is_basic(piece, number)
    )
    renumbered = {number: at for at, number in enumerate(kept)}
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {
        piece: renumbered[number] for piece, number in vocabulary.items() if number in renumbered
    }
    for token in content["added_tokens"]:
        token["id"] = renumbered[token["id"]]
    for end in ("cls", "sep"):
        piece, number = content["post_processor"][end]
        content["post_processor"][end] = [piece, renumbered[number]]
    return Tokenizer.from_str(json.dumps(content)), kept


def _is_basic(piece: str, number: int) -> bool:
    single = len(piece.removeprefix("##")) == 1
    return piece.isascii() and not piece.startswith("[unused") and (number < FREQUENT or single)


def encoder_weights(weights: dict[str, Tensor], kept: Sequence[int]) -> dict[str, Tensor]:
    """MPNet's weights by the names of ``Encoder``."""
    own = {
        "pieces.weight": weights["embeddings.word_embeddings.weight"][list(kept)],
        # MPNet counts positions from 2.
        "positions.weight": weights["embeddings.position_embeddings.weight"][2:],
        "apart.weight": weights["encoder.relative_attention_bias.weight"],
    }
    for end in ("weight", "bias"):
        own[f"norm.{end}"] = weights[f"embeddings.LayerNorm.{end}"]
        for layer in range(LAYERS):
            theirs, ours = f"encoder.layer.{layer}.", f"layers.{layer}."
            own[f"{ours}qkv.{end}"] = torch.cat([weights[f"{theirs}attention.attn.{part}.{end}"] for part in "qkv"])
            for name, other in _THEIR_NAMES.items():
                own[f"{ours}{name}.{end}"] = weights[f"{theirs}{other}.{end}"]
    return own


#: Parts of a layer by MPNet's names.
_THEIR_NAMES = {
    "out": "attention.attn.o",
    "attended": "attention.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "fed": "output.LayerNorm",
}


def example_of(reader: PromptReader, prompt: str, facts: Sequence[Fact]) -> Example:
    """What the network is to find in a prompt, of whose alternatives it is shown the last, as when it reads."""
    prompt = last_alternatives(prompt)
    pieces = reader.in_pieces(prompt, words_of(prompt))
    with_ends = [(fact, tuple(_ends(prompt, pieces.words, fact))) for fact in facts]
    needed = [not (fact.optional or fact.follows_from(facts)) for fact, _ in with_ends]
    stated, undecided = (
        tuple((fact.kind, ends) for (fact, ends), needs in zip(with_ends, needed) if ends and needs is which)
        for which in (True, False)
    )
    return Example(pieces, stated, undecided)


def simple_example(reader: PromptReader, prompt: str) -> Example:
    """What the network is to find in a plain prompt: what the rules do."""
    pieces, scene = reader.in_pieces(prompt, words_of(prompt)), read_by_rules(prompt).scene
    last = {end: at for at, (_, end) in enumerate(pieces.words)}
    stated = [
        (one.relation.value, ((last[one.subject.end], None if one.object is None else last[one.object.end]),))
        for one in (*scene.relations, *scene.depth)
    ]
    return Example(pieces, tuple(stated), ())


def _ends(prompt: str, words: Sequence[tuple[int, int]], fact: Fact) -> Iterator[Ends]:
    """The words that a fact's names stand for."""

    def named(names: Sequence[str]) -> list[int]:
        wanted = [_words(name) for name in names]
        return [at for at in range(len(texts)) if any(texts[: at + 1][-len(name) :] == name for name in wanted)]

    texts = [_plain(prompt[start:end]) for start, end in words]
    subjects = named(fact.subjects)
    objects = named(fact.objects) if fact.objects else [None]
    return (ends for ends in itertools.product(subjects, objects) if ends[0] != ends[1])


def _words(name: str) -> list[str]:
    return [_plain(name[start:end]) for start, end in words_of(name)]


def _plain(word: str) -> str:
    return re.sub("['’]s$", "", word.casefold())


def steps(examples: Sequence[Example], order: random.Random) -> Iterator[list[Example]]:
    """Examples of about one length together, in random order."""
    by_length = sorted(examples, key=lambda example: len(example.pieces.ids) + 6 * order.random())
    found, step = list[list[Example]](), list[Example]()
    for example in by_length:
        step.append(example)
        if len(step) * len(example.pieces.ids) >= PIECES:
            found.append(step)
            step = []
    found += [step] if step else []
    order.shuffle(found)
    yield from found


def loss_of(network: PromptNetwork, examples: Sequence[Example]) -> Tensor:
    """Cross entropy of what is stated of each word, and of the objects of what is stated, of a prompt on average.

    Of several ends that are right the likeliest count, and the others are wrong; what is undecided counts for nothing,
    nor does the same relation the other way round.
    """
    batch = together([example.pieces for example in examples])
    with torch.autocast("cpu", torch.bfloat16):  # half the time
        logits = network(batch)
    stated, objects = (part.float() for part in logits)
    counts = torch.tensor([len(example.pieces.first) for example in examples])
    within = torch.arange(stated.shape[2]) < counts[:, None]
    shares = objects.masked_fill(~within[:, None, None], -1e4).log_softmax(-1)
    known_shares = shares.detach()
    wanted, weight = torch.zeros_like(stated), within[:, None].expand_as(stated).float().clone()
    likely, chosen = nn.functional.logsigmoid(stated.detach()), list[Tensor]()
    for at, example in enumerate(examples):
        for kind, several in example.undecided:
            for ends in several:
                _pass_over(weight[at], kind, ends)
        for kind, several in example.stated:
            number = _NUMBERS[kind]
            of_two = _NUMBERS_OF_TWO.get(kind)

            def likelihood(ends: Ends, at: int = at, number: int = number, of_two: int | None = of_two) -> float:
                share = 0.0 if of_two is None else float(known_shares[at, of_two, ends[0], ends[1]])
                return float(likely[at, number, ends[0]]) + share

            subject, object = max(several, key=likelihood)
            if of_two is not None:
                chosen.append(shares[at, of_two, subject, object])
                _pass_over(weight[at], kind, (subject, object))
            wanted[at, number, subject] = 1
    weight[wanted > 0] = 1
    entropy = nn.functional.binary_cross_entropy_with_logits(stated, wanted, weight, reduction="sum")
    return (entropy - sum(chosen)) / len(examples)


_NUMBERS = {kind.value: number for number, kind in enumerate(KINDS)}
_NUMBERS_OF_TWO = {kind.value: number for number, kind in enumerate(KINDS_OF_TWO)}


def _pass_over(weight: Tensor, kind: str, ends: Ends) -> None:
    """Count nothing of a statement, nor of the same the other way round."""
    subject, object = ends
    weight[_NUMBERS[kind], subject] = 0
    if object is not None and kind in INVERSES:
        weight[_NUMBERS[INVERSES[kind]], object] = 0


def check(prompts: Sequence[Labelled]) -> None:
    """Tell how the parser does on prompts by each pair of thresholds."""
    scores = {thresholds: Score() for thresholds in itertools.starmap(Thresholds, itertools.product(_LEAST, _SURE))}
    for prompt, facts in prompts:
        read = read_by_rules(prompt)
        for thresholds, score in scores.items():
            score.add(judged(read, thresholds), facts)
    for thresholds, score in scores.items():
        print(f"{thresholds.least:g} {thresholds.sure:g}: {score.summary}")


if __name__ == "__main__":
    main()
