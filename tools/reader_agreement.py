"""How far two readers of the held-out prompts agree on what these state, and how the parser does by both.

python -m tools.reader_agreement            agreement, and the parser's scores
python -m tools.reader_agreement --errors   what is wrong and what is missed by the parser, too

Writers and readers are language models. The second reader saw neither the parser nor what the prompts' writers had
found.
"""

from __future__ import annotations

from collections.abc import Sequence

from steering_core.parser import parse
from tools.command import command_line
from tools.prompt_facts import HELD_OUT, Fact, Score, prompts_of

#: The held-out prompts with what a second reader found.
REREAD = HELD_OUT.with_name("artists_prompts_reread.txt")


def main() -> None:
    """Print how far they agree, and the parser's scores."""
    parser = command_line(__doc__)
    parser.add_argument("--errors", action="store_true", help="each error of the parser")
    options = parser.parse_args()
    for name, score in scores().items():
        print(f"{name}: {score if options.errors and name.startswith('parser') else score.summary}")


def scores() -> dict[str, Score]:
    """Each reader's by the other, and the parser's by what both read."""
    second_by_first, first_by_second, parsed = Score(), Score(), Score()
    for (prompt, first), (_, second) in zip(prompts_of(HELD_OUT), prompts_of(REREAD), strict=True):
        second_by_first.add_reader(prompt, second, first)
        first_by_second.add_reader(prompt, first, second)
        parsed.add(parse(prompt), by_both(first, second))
    return {
        "second reader by the writers": second_by_first,
        "writers by the second reader": first_by_second,
        "parser by what both read": parsed,
    }


def by_both(first: Sequence[Fact], second: Sequence[Fact]) -> list[Fact]:
    """What both readers are sure of is to be read, and what else one of them found may be."""
    left, found = list(second), list[Fact]()
    for fact in first:
        same = next((other for other in left if fact.says_the_same_as(other)), None)
        if same is None:
            found.append(fact._replace(optional=True))
            continue
        left.remove(same)
        found.append(fact.with_names_of(same)._replace(optional=fact.optional or same.optional))
    return [*found, *(fact._replace(optional=True) for fact in left)]


if __name__ == "__main__":
    main()
