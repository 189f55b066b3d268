"""How much of what a reader finds in prompts the parser reads, and how much else: by rules alone, and judged.

python -m tools.score_parser             prompts that neither rules nor network were made by
python -m tools.score_parser --learned   those that they were made by, every tenth
python -m tools.score_parser --errors    what is wrong and what is missed, too

The reader is a language model, which also wrote the prompts.
"""

from __future__ import annotations

from pathlib import Path

from steering_core.parser.judged import judged
from steering_core.parser.rules import read_by_rules
from tools.command import command_line
from tools.prompt_facts import HELD_OUT, LEARNED, Score, prompts_of

#: Of the prompts that the parser was made by one in so many is read, none of those that the training left out.
_EVERY, _FIRST = 10, 5


def main() -> None:
    """Print the scores."""
    parser = command_line(__doc__)
    parser.add_argument("--learned", action="store_true", help="prompts that the parser was made by")
    parser.add_argument("--errors", action="store_true", help="each error")
    options = parser.parse_args()
    for name, score in zip(("rules alone", "judged"), scores(LEARNED if options.learned else HELD_OUT)):
        print(f"{name}: {score if options.errors else score.summary}")


def scores(file: Path) -> tuple[Score, Score]:
    """Of a file's prompts: by rules alone, and judged."""
    alone, both = Score(), Score()
    prompts = list(prompts_of(file))
    for prompt, facts in prompts if file == HELD_OUT else prompts[_FIRST::_EVERY]:
        read = read_by_rules(prompt)
        alone.add(read.scene, facts)
        both.add(judged(read), facts)
    return alone, both


if __name__ == "__main__":
    main()
