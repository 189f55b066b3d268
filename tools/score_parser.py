"""How much of what a reader finds in prompts the parser reads, and how much else: by rules alone, and judged.

python -m tools.score_parser             prompts that neither rules nor network were made by
python -m tools.score_parser --learned   those that they were made by, every tenth
python -m tools.score_parser --traps     those that were written to mislead it, by which rules were mended
python -m tools.score_parser --errors    what is wrong and what is missed, too

The reader is a language model, which also wrote the prompts.
"""

from __future__ import annotations

from pathlib import Path

from steering_core.parser.judged import judged
from steering_core.parser.rules import read_by_rules
from tools.command import command_line
from tools.prompt_facts import HELD_OUT, LEARNED, TRAPS, Score, prompts_of

#: Of the prompts that the parser was made by one in so many is read, none of those that the training left out.
_EVERY, _FIRST = 10, 5


def main() -> None:
    """Print the scores."""
    parser = command_line(__doc__)
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--learned", action="store_true", help="prompts that the parser was made by")
    files.add_argument("--traps", action="store_true", help="prompts that were written to mislead it")
    parser.add_argument("--errors", action="store_true", help="each error")
    options = parser.parse_args()
    file = LEARNED if options.learned else TRAPS if options.traps else HELD_OUT
    for name, score in zip(("rules alone", "judged"), scores(file)):
        print(f"{name}: {score if options.errors else score.summary}")


def scores(file: Path) -> tuple[Score, Score]:
    """Of a file's prompts: by rules alone, and judged."""
    alone, both = Score(), Score()
    prompts = list(prompts_of(file))
    for prompt, facts in prompts[_FIRST::_EVERY] if file == LEARNED else prompts:
        read = read_by_rules(prompt)
        alone.add(read.scene, facts)
        both.add(judged(read), facts)
    return alone, both


if __name__ == "__main__":
    main()
