"""The page of ``benchmarks.proof``: tables in Markdown, of the prompts that all ways have drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.proof_records import Record, Records
from benchmarks.proof_ways import BEST_OF_2, CENTROID, COMBINED, LEARNED, OTHER_SEEDS, RENDERED, UNSTEERED, WAYS
from steering_core.backends.diffusers import load_pipeline
from steering_core.evaluation.encoders import AutoencoderEncoder, features_of
from steering_core.evaluation.figures import PromptCounts, figures
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.results import arm_results
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.evaluation.statistics import Estimate, difference, estimate, wilson_interval
from steering_core.evaluation.tables import markdown_table, percent, points
from steering_core.evaluation.variety import Moments, frechet_distance
from steering_core.miniature.folder import SHIPPED

_STEERED = (CENTROID, LEARNED, COMBINED)
_HEAD = ["way", "pictures", "OA", "VISOR-cond", "VISOR-uncond", "VISOR-4", "more than unsteered", "time"]
_HEAD_OF_STEERED = ["way", "best of N in its time", "more than that"]
_HEAD_OF_VARIETY = ["way", "spread of places", "of sizes", "Fréchet distance from unsteered", "from rendered"]
#: Pictures have so many features by the autoencoder, and fewer of them tell nothing of their covariance.
_LEAST_PICTURES = 64

_INTRODUCTION = """\
# Proof

Written by `python -m benchmarks.proof --out DIR --minutes 0 --records benchmarks/proof_records --page docs/proof.md`,
from what its sessions drew (`python -m benchmarks.proof --help`). What was seen in each picture stands in
[benchmarks/proof_records](../benchmarks/proof_records). Each title says how many prompts there are so far of the whole,
and *Variety* is of those whose pictures were at hand when the page was written. Four seeds each,
25 steps, each miniature at its own guidance scale, all steered ways at the defaults of strength and window. The
miniatures' detector looks, and VISOR's rule judges ([evaluation](evaluation.md#judging)); in brackets 95 % intervals,
by resampling prompts.

- *unsteered*, *other seeds*: the model by itself. Between these two there is no difference but chance.
- *best of 2*: of these two the picture that the detector finds better. The same detector
  chooses and judges, which favours this way.
- *centroid*: gelu by latent descent, as it comes. *learned*: by the classifier that ships for the miniature (for
  several relations on the first one: the one for several objects). *combined*: gelu, half of the learned loss and half
  of the presence loss.
- *ComfyUI, areas*: core's KSampler in a real ComfyUI, of the whole prompt together with each object alone in its half
  of the canvas, by Conditioning (Set Area with Percentage). A seed has the same noise there as in diffusers: without
  areas the pictures are nearly those of *unsteered*. Several relations were not drawn so.
- *rendered*: scenes drawn by the renderer of the miniatures' world, right as they are: what the detector makes of them
  is the most that a way can reach.
- *time*: of the processor, over unsteered. *Best of N in its time*: N seeds that take as long as the steered picture,
  where a second seed is tried for a part of the pictures. It is the mean of *unsteered* and *best of 2*, weighted so.
- *Spread* and *Fréchet distance*, by the miniature's own autoencoder: see [evaluation](evaluation.md#judging). A
  distance from unsteered is to be held against that of *other seeds*, and one from rendered scenes against
  *unsteered*'s: of few pictures chance alone makes a good part.

No detector but the miniatures' was run with its real weights: none could be downloaded where this was made. Those of
the transformers library were run at reduced size, with random weights, on rendered scenes, for the form of their
answers (`tests/unit/test_generated.py`, `tests/unit/test_segmenter.py`)."""

#: The folders of an evaluation, and what is known of their pictures, by the miniature's name and the kind of prompts.
Folders = Mapping[tuple[str, str], EvaluationFolder]
Known = Mapping[tuple[str, str], Records]


def page(folders: Folders, known: Known) -> str:
    """The page: figures of what is known, and of the pictures that are in the folders their variety."""
    parts = [_INTRODUCTION]
    for model, of_model in itertools.groupby(folders, key=lambda key: key[0]):
        kinds = [kind for _, kind in of_model]
        parts.append(f"## {model}")
        for kind in kinds:
            parts += _of_kind(known[model, kind], kind, len(folders[model, kind].suite.prompts))
        parts += _variety(model, [folders[model, kind] for kind in kinds if kind.endswith("_pairs")])
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class _Drawn:
    """Some prompts, drawn in a way.

    Attributes:
        counts: of each prompt.
        seconds: of the processor, of all.
    """

    counts: Sequence[PromptCounts]
    seconds: float

    @property
    def right(self) -> list[int]:
        """How many pictures of each prompt."""
        return [one.correct for one in self.counts]

    @property
    def pictures(self) -> list[int]:
        """How many there are of each prompt."""
        return [one.pictures for one in self.counts]


def _of_kind(records: Records, kind: str, whole: int) -> Iterator[str]:
    """Title and tables of a kind of prompts; one line where no prompt was drawn in all ways."""
    ways = [way for way in WAYS if any(way == its for its, _ in records)]
    is_told = {UNSTEERED, BEST_OF_2, *_STEERED} <= set(ways)
    numbers = [at for at in range(whole) if is_told and all((way, at) in records for way in ways)]
    yield f"### {kind.replace('_', ' ')}: {len(numbers)} of {whole} prompts"
    if not numbers:
        return
    drawn = {way: _drawn([records[way, at] for at in numbers]) for way in ways}
    yield markdown_table(_HEAD, [_row(way, drawn) for way in ways])
    yield markdown_table(_HEAD_OF_STEERED, [_steered_row(way, drawn) for way in _STEERED])


def _drawn(records: Sequence[Record]) -> _Drawn:
    return _Drawn([one.counts for one in records], sum(one.seconds for one in records))


def _row(way: str, drawn: Mapping[str, _Drawn]) -> list[str]:
    ours, unsteered = drawn[way], drawn[UNSTEERED]
    scores = figures(ours.counts)
    gain = ""
    if way not in (UNSTEERED, RENDERED):
        gain = points(difference(unsteered.right, ours.right, ours.pictures))
    shares = (scores.oa, scores.visor_cond, scores.visor_uncond, scores.visor_n[-1])
    return [_title(way), str(scores.pictures), *map(percent, shares), gain, _time(way, drawn)]


def _time(way: str, drawn: Mapping[str, _Drawn]) -> str:
    """Over unsteered; of what a ComfyUI draws and of what is rendered nothing is told."""
    if way not in (UNSTEERED, OTHER_SEEDS, BEST_OF_2, *_STEERED):
        return ""
    return f"{_seconds(way, drawn) / drawn[UNSTEERED].seconds:.2f} ×"


def _seconds(way: str, drawn: Mapping[str, _Drawn]) -> float:
    """Of all pictures; the best of two takes both, and to choose."""
    beside = (UNSTEERED, OTHER_SEEDS) if way == BEST_OF_2 else ()
    return sum(drawn[one].seconds for one in (way, *beside))


def _steered_row(way: str, drawn: Mapping[str, _Drawn]) -> list[str]:
    """A way beside the best of as many seeds as its time pays for."""
    one, two = drawn[UNSTEERED].seconds, _seconds(BEST_OF_2, drawn)
    paid = (drawn[way].seconds - one) / (two - one)
    first, best, steered = (drawn[of].right for of in (UNSTEERED, BEST_OF_2, way))
    of_seeds, more = in_equal_time(paid, first, best, steered, drawn[way].pictures[0])
    return [_title(way), percent(of_seeds), points(more)]


def in_equal_time(
    paid: float, first: Sequence[int], best: Sequence[int], steered: Sequence[int], pictures: int
) -> tuple[Estimate, Estimate]:
    """What the best of N seeds makes right where N is no whole number, and by how much more steering does.

    N = 1.15 tries a second seed for 15 % of the pictures: the mean of one seed and the best of two, so weighted.

    Args:
        paid: the weight of the best of two; held within [0, 1].
        first, best, steered: right pictures of each prompt, of one seed, of the best of two, and of the steered way.
        pictures: of each prompt.
    """
    weight = min(max(paid, 0.0), 1.0)

    def of_seeds(one: np.ndarray, two: np.ndarray, count: np.ndarray) -> np.ndarray:
        return ((1 - weight) * one + weight * two) / count

    def by_more(one: np.ndarray, two: np.ndarray, ours: np.ndarray, count: np.ndarray) -> np.ndarray:
        return ours / count - of_seeds(one, two, count)

    counts = [pictures] * len(first)
    alone, more = estimate(of_seeds, first, best, counts), estimate(by_more, first, best, steered, counts)
    # Where all prompts agree, resampling tells nothing: as ``share`` and ``difference`` do.
    if not alone.has_width:
        alone = Estimate(alone.value, *wilson_interval(alone.value, len(first)))
    return alone, more if more.has_width else Estimate(more.value, math.nan, math.nan)


def _variety(model: str, folders: Sequence[EvaluationFolder]) -> Iterator[str]:
    """What steering costs in variety, over all pairs of a miniature; nothing where too few are drawn."""
    complete = [(folder, ways, numbers) for folder, ways, numbers in map(_complete, folders) if numbers]
    pictures = sum(len(folder.suite.seeds) * len(numbers) for folder, _, numbers in complete)
    if pictures < _LEAST_PICTURES:
        return
    encoder = AutoencoderEncoder(load_pipeline(SHIPPED[model], "cpu").vae)
    ways = [way for way in WAYS if all(way in its for _, its, _ in complete)]
    results = [arm_results(folder, ways, RULES[VISOR], numbers) for folder, _, numbers in complete]
    moments = {
        way: Moments.of(itertools.chain(*(features_of(folder, way, encoder, its) for folder, _, its in complete)))
        for way in ways
    }
    rows = []
    for way, of_way in zip(ways, zip(*results)):
        weights = [one.all.pictures for one in of_way]
        spreads = ([getattr(one, name) for one in of_way] for name in ("spread_of_places", "spread_of_sizes"))
        distances = (frechet_distance(moments[first], moments[way]) for first in (UNSTEERED, RENDERED))
        numbers = [*(float(np.average(spread, weights=weights)) for spread in spreads), *distances]
        rows.append([_title(way), *(f"{value:.3f}" for value in numbers)])
    yield f"### Variety, {pictures} pictures a way of all pairs"
    yield markdown_table(_HEAD_OF_VARIETY, rows)


def _complete(folder: EvaluationFolder) -> tuple[EvaluationFolder, list[str], list[int]]:
    """A folder, the ways that were begun in it, and the prompts whose pictures are there in all of them."""
    ways = [way for way in WAYS if folder.has(way)]
    every = range(len(folder.suite.prompts))
    return folder, ways, [at for at in every if all(folder.is_looked_at(way, at) for way in ways)]


def _title(way: str) -> str:
    return way.replace("_", " ").replace("comfyui", "ComfyUI,")
