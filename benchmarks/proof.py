"""What steering is worth, and what it costs: prompts of one relation and of several, on both miniatures, in all ways.

torchrun --nproc-per-node 2 -m benchmarks.proof --out DIR --minutes 30
python -m benchmarks.proof --out DIR --comfyui http://127.0.0.1:8188    core's area conditioning too, in a ComfyUI
python -m benchmarks.proof --out DIR --minutes 0 --page docs/proof.md   nothing is drawn, and the page is written
python -m benchmarks.proof … --records benchmarks/proof_records         of what is kept there nothing is drawn again

The whole are 384 prompts of pairs that training never shows, 616 of others, and 300 of each kind with several
relations, with four seeds each. Pictures are kept in DIR as ``steer evaluate`` keeps them: a session goes on where the
last one stopped, in turns of four prompts of every kind, and several add up. What a detector saw in them is kept with
--records as well, so that sessions add up where the pictures are gone. The page is of the prompts that all ways have
drawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from accelerate import PartialState

from benchmarks.command import refusing
from benchmarks.in_comfyui import ComfyUI
from benchmarks.measuring import draw_and_look, miniature_settings
from benchmarks.proof_page import page
from benchmarks.proof_records import Records, read_records, save_records, with_drawn
from benchmarks.proof_ways import BEST_OF_2, ways_of
from steering_core.backends.diffusers import load_pipeline
from steering_core.backends.diffusers.arms import sampling_of
from steering_core.cli.options import check_place, number, whole
from steering_core.evaluation.arms import Arm
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.suites import CHAINS, ScenePrompt, Suite
from steering_core.files.whole import save_text
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.look import MiniatureDetector
from steering_core.miniature.prompts import chained_prompts, seen_pair_prompts, unseen_pair_prompts
from steering_core.miniature.score import SEEDS
from tools.command import command_line

#: Prompts of each kind in the whole.
_UNSEEN, _SEEN, _SEVERAL = 384, 616, 300
_PROMPT_SEED = 0
#: Prompts of a turn, the four relations once.
_TURN = 4


def main() -> None:
    """Draw, look and write."""
    parser = command_line(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of pictures and what was found in them")
    parser.add_argument(
        "--model", choices=SHIPPED, nargs="+", default=list(SHIPPED), help="which miniatures (default: both)"
    )
    parser.add_argument(
        "--suite", choices=suites(), nargs="+", default=list(suites()), help="kinds of prompts (default: all)"
    )
    parser.add_argument("--prompts", type=whole(0, _SEEN), default=_SEEN, help="at most so many of a kind")
    parser.add_argument("--several", type=whole(0, _SEVERAL), default=_SEVERAL, help="of a kind with several relations")
    parser.add_argument("--minutes", type=number(0, 100_000), help="begin nothing after so long (default: go on)")
    parser.add_argument("--comfyui", metavar="URL", help="a running ComfyUI with this pack, for core's areas")
    parser.add_argument("--records", type=Path, metavar="DIR", help="what was seen in pictures, read and added to")
    parser.add_argument("--page", type=Path, metavar="FILE", help="Markdown to write (default: printed)")
    options = parser.parse_args()
    with refusing(parser):
        if options.page:
            check_place(options.page)
        comfyui = ComfyUI(options.comfyui) if options.comfyui else None
        folders = dict(_opened(options.out, options.model, options.suite, comfyui))
        known = {key: _known(options.records, key, *opened) for key, opened in folders.items()}
    state = PartialState(cpu=True)
    deadline = time.monotonic() + 60 * (float("inf") if options.minutes is None else options.minutes)
    limits = {name: options.several if name in CHAINS else options.prompts for name in options.suite}
    for key, numbers in list(_turns(folders, limits))[state.process_index :: state.num_processes]:
        _take(*folders[key], numbers, known[key], deadline)
        if options.records and state.is_main_process:  # what is drawn by others too, and of a session that is killed
            known[key] = _kept(options.records, key, *folders[key])
    state.wait_for_everyone()
    if not state.is_main_process:
        return
    known = {key: _kept(options.records, key, *opened) for key, opened in folders.items()}
    text = page({key: folder for key, (folder, _) in folders.items()}, known)
    if options.page:
        save_text(text, options.page)
    else:
        print(text)


def suites() -> dict[str, Suite]:
    """All kinds of prompts, by their names."""
    kinds = {
        "unseen_pairs": unseen_pair_prompts(_UNSEEN, _PROMPT_SEED),
        "seen_pairs": seen_pair_prompts(_SEEN, _PROMPT_SEED),
        **{kind: _distinct(chained_prompts(2 * _SEVERAL, chains, _PROMPT_SEED)) for kind, chains in CHAINS.items()},
    }
    return {name: Suite(name, tuple(prompts), SEEDS) for name, prompts in kinds.items()}


def _distinct(prompts: Sequence[ScenePrompt]) -> list[ScenePrompt]:
    """The first that differ, as many as a kind has."""
    return list(dict.fromkeys(prompts))[:_SEVERAL]


def _opened(
    out: Path, models: Sequence[str], kinds: Sequence[str], comfyui: ComfyUI | None
) -> Iterator[tuple[tuple[str, str], tuple[EvaluationFolder, list[Arm]]]]:
    """For each miniature and kind of prompts their folder, and its ways, claimed.

    Raises:
        ValueError, OSError: as ``EvaluationFolder.claim``.
    """
    chosen = {name: suite for name, suite in suites().items() if name in kinds}
    for model in models:
        pipeline = load_pipeline(SHIPPED[model], "cpu")
        settings = miniature_settings(pipeline)
        sampling = sampling_of(pipeline, settings)
        for kind, suite in chosen.items():
            folder = EvaluationFolder(out / model / kind, suite, sampling)
            arms = ways_of(model, pipeline, settings, folder, comfyui)
            folder.claim(arms, MiniatureDetector())
            yield (model, kind), (folder, arms)


def _known(records: Path | None, key: tuple[str, str], folder: EvaluationFolder, arms: Sequence[Arm]) -> Records:
    """What was kept of a kind of prompts; nothing without a folder of records.

    Raises:
        ValueError, OSError: as ``read_records``.
    """
    return read_records(_records_file(records, key), folder, [arm.name for arm in arms]) if records else {}


def _kept(records: Path | None, key: tuple[str, str], folder: EvaluationFolder, arms: Sequence[Arm]) -> Records:
    """What is known by now of a kind of prompts, and kept if there is a folder of records: others may add to it too.

    Raises:
        ValueError, OSError: as ``read_records`` and ``save_records``.
    """
    before = _known(records, key, folder, arms)
    now = with_drawn(before, folder, [arm.name for arm in arms])
    if records and now != before:
        save_records(now, _records_file(records, key))
    return now


def _records_file(records: Path, key: tuple[str, str]) -> Path:
    model, kind = key
    return records / model / f"{kind}.csv"


def _turns(
    folders: Mapping[tuple[str, str], tuple[EvaluationFolder, list[Arm]]], limits: Mapping[str, int]
) -> Iterator[tuple[tuple[str, str], range]]:
    """A few prompts of every kind on every miniature, then the next few, so that all get on alike."""
    kinds = list(limits)
    of_kinds = sorted(folders.items(), key=lambda one: kinds.index(one[0][1]))
    for first in range(0, max(limits.values()), _TURN):
        for key, (folder, _) in of_kinds:
            last = min(first + _TURN, limits[key[1]], len(folder.suite.prompts))
            if first < last:
                yield key, range(first, last)


def _take(folder: EvaluationFolder, arms: Sequence[Arm], numbers: range, known: Records, deadline: float) -> None:
    """Draw prompts in all ways and look at the pictures, where that is not known, unless it is too late."""
    for at in numbers:
        unknown = [arm for arm in arms if (arm.name, at) not in known]
        # The best of two is chosen of pictures, which may be gone.
        for arm in arms if any(arm.name == BEST_OF_2 for arm in unknown) else unknown:
            if time.monotonic() >= deadline:
                return
            draw_and_look(folder, arm, at)


if __name__ == "__main__":
    main()
