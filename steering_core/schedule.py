"""When and how strongly to steer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from .presence import MOST_OVERLAP

DESCENT, GUIDANCE = "descent", "guidance"
TOGETHER, IN_TURN = "together", "in_turn"

#: What a move of strength 1 shifts the latent by: root mean square, in units of the noise that is in it. It served both
#: miniatures by both rules (``python -m benchmarks.tune``); twice as much spoiled pictures of the second.
MOVE = 0.1
#: The same where a transformer's objects are bound, and by that stand in their places: larger moves lose objects, and
#: without any, more of several relations stay undone (``python -m benchmarks.tune --bound 0.5 --step-sizes 0.03 0.1``).
BOUND_MOVE = 0.03
#: Share of the steps in which objects are bound by default: on the miniature of FLUX's shape it served better than a
#: quarter (``python -m benchmarks.tune --model flux_miniature --bound 0 0.25 0.5``).
BOUND = 0.5
#: Of more objects none is bound by default: it was measured with two to five.
MOST_BOUND = 5
#: So many moves served best in few steps (``python -m benchmarks.tune --steps 8 --ends 0.25 0.5 --refinements 1 2 4``).
_MOVES = 4
#: Of a transformer's bound objects in few steps as many pictures come right by so many (``--bound 0.5 --step-sizes 0.03
#: --ends 0.25``).
_BOUND_MOVES = 2
#: In fewer steps than these, spread moves have a longer window, which holds as many as it would in so many, at most
#: half of all.
_FEW_STEPS, _LONGEST_WINDOW = 16, 0.5
#: Shares of noise that are taken for the same: schedules are made of a thousand times.
_SAME = 1e-3

Item = TypeVar("Item")


def is_integral(value: float) -> bool:
    """Whether a number is a whole one; what is not finite is none."""
    return float(value).is_integer()


@dataclass(frozen=True)
class SamplingStep:
    """A step of a run of a sampler.

    Attributes:
        number: from 0.
        steps: how many the run has.
        progress: share of the diffusion time that is done before it: 0 at the strongest noise, 1 at the
            clean image, whatever the spacing of the steps.
        removes: share of the noise that it takes away: 1 - sigma'/sigma, from sigma to sigma', in the units of
            d = (x - x0)/sigma. In (0, 1] where the noise falls. Only noise guidance asks for it.
    """

    number: int
    steps: int
    progress: float
    removes: float = 1.0


@dataclass(frozen=True)
class SteeringSchedule:
    """The window of steered steps and the rule that moves the latent there.

    Attributes:
        update: ``descent`` moves the latent down the gradient before the step, z - s·grad L
            (Learn-to-Steer); ``guidance`` adds the gradient to the predicted noise after
            classifier-free guidance, epsilon + s·grad L (InfSplign eq. 6).
        start, end: the window, as shares of the sampling schedule; a step is steered when the
            share of steps before it is in [start, end), or, where moves are spread, the share of noise that was taken
            away before it (``along``). Where that is none, as it can be with few steps, the one in which the window
            begins is.
        step_size: s. For a normalised gradient, the root mean square of the shift: in units of
            the noise level for ``descent``, of the predicted noise's scale for ``guidance``.
            When not given, ``strength`` says how far the latent moves.
        strength: how far the latent moves in each steered step, in units of ``move``: the same for both rules and
            for every number of steps. Not together with a step size.
        decay: share of the size that is lost from the first steered step to the end of the window, evenly: 0 keeps
            it, 1 fades steering out, which leaves the details of later steps to the model.
        normalize: scale each image's gradient to root mean square 1, so that s means the same
            for every model; without it s multiplies the gradient itself, as the papers do.
        refinements: at most so many descents within one step; ``guidance`` needs none. When not given, one, and more
            where one or two steps are steered: four in one; of two, two in the first and, but where relations take
            turns, one in the second. Of a transformer's bound objects two in one step, and one in each of two.
        every_other: where the window holds more than four steps, steer every other one, and four at least, spread
            evenly over it; not where relations take turns. When not given, where one relation is asked for, loss,
            network and sampler are content with it (a centroid loss, a UNet or bound objects, and all but schedulers
            of diffusers that correct a step are), and the number of refinements is not said.
        spread: in fewer than 16 steps, rather move in more of them than more often in each: the window ends later
            (``end_in``), unless objects are bound. When not given, as suits the network: transformers lose fewer
            objects so, UNets more.
        target: a relation whose loss is at most this is left alone. At 0 that is one that holds by the
            margin, a diagonal by the sum of both axes, seen by ReLU, leaky ReLU and GELU without further terms; these
            last two go on below 0 with a negative target.
        order: relations ``together`` in each step, or ``in_turn``.
        bound: share of the sampling schedule, from its first step on, in which objects are bound to their regions
            (``steering_core.regions``), whatever the window and the strength are: one step at least. 0 binds none.
            When not given, as suits network and scene: ``BOUND`` where text and image attend jointly, the latent is
            moved at all and there are at most ``MOST_BOUND`` objects to bind, and 0 elsewhere, where binding does not
            help.
        restarts: how often a picture may begin again from new noise where two of its objects overlap too much in the
            last steered step (``restarts.begin_again``); only by ``descent``.
        restart_overlap: the share of their attention, in [0, 1), above which two objects do (``Presence``); by
            itself the one above which the report warns.
        rest: where all that a step works on meets the target in every picture, so many further steps that would work on
            the same are not looked at; those that ``every_other`` leaves out count. The last of the window always is.
        chosen: the steered steps, ascending from 0, in place of those that begin in the window. When none is given, a
            run may choose its own (``along``). ``every_other`` leaves out some of these too.

    Raises:
        ValueError: a setting is outside its range.
    """

    update: str = DESCENT
    start: float = 0.0
    end: float = 0.25
    step_size: float | None = None
    strength: float = 1.0
    decay: float = 0.0
    normalize: bool = True
    refinements: int | None = None
    every_other: bool | None = None
    spread: bool | None = None
    target: float = 0.0
    order: str = TOGETHER
    bound: float | None = None
    restarts: int = 0
    restart_overlap: float = MOST_OVERLAP
    rest: int = 1
    chosen: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.update not in (DESCENT, GUIDANCE):
            raise ValueError(f"update must be {DESCENT} or {GUIDANCE}, not {self.update!r}.")
        if self.order not in (TOGETHER, IN_TURN):
            raise ValueError(f"order must be {TOGETHER} or {IN_TURN}, not {self.order!r}.")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"The window must satisfy 0 <= start < end <= 1, not {self.start} to {self.end}.")
        if self.step_size is not None and not 0 <= self.step_size < math.inf:
            raise ValueError(f"step_size must be 0 or more, not {self.step_size}.")
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"strength must be 0 or more, not {self.strength}.")
        if self.step_size is not None and self.strength != 1:
            raise ValueError("strength and step_size both say how far the latent moves: give one of them.")
        if self.step_size is None and not self.normalize:
            raise ValueError("step_size is needed where the gradient is not normalised.")
        if math.isnan(self.target):
            raise ValueError("target must be a number.")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must be from 0 to 1, not {self.decay}.")
        if self.bound is not None and not 0 <= self.bound <= 1:
            raise ValueError(f"bound must be from 0 to 1, not {self.bound}.")
        if self.refinements is not None and (self.refinements < 1 or not is_integral(self.refinements)):
            raise ValueError(f"refinements must be a whole number, 1 or more, not {self.refinements}.")
        if self.restarts < 0 or not is_integral(self.restarts):
            raise ValueError(f"restarts must be a whole number, 0 or more, not {self.restarts}.")
        if self.restarts and self.uses_guidance:
            raise ValueError(f"restarts: pictures begin again by {DESCENT} only, not by {GUIDANCE}: set them to 0.")
        if not 0 <= self.restart_overlap < 1:
            raise ValueError(f"restart_overlap must be at least 0 and less than 1, not {self.restart_overlap}.")
        if list(self.chosen) != sorted({step for step in self.chosen if is_integral(step) and step >= 0}):
            raise ValueError(f"chosen must be numbers of steps from 0 on, ascending, not {self.chosen}.")
        if self.rest < 0:
            raise ValueError(f"rest must be 0 or more, not {self.rest}.")

    def suited_to(self, *, spreads: bool, every_other: bool, binds: bool) -> SteeringSchedule:
        """The same, with what it leaves open decided.

        Args:
            spreads: the network wants moves spread over more of few steps, and each of many to be steered where its
                objects are not bound.
            every_other: what is asked for comes true as well by every other step, if the network does.
            binds: the scene's objects can be bound in the network, and pictures gain by that.
        """
        bound = (BOUND if binds and self.moves else 0.0) if self.bound is None else self.bound
        content = every_other and self.refinements is None and (bound > 0 or not spreads)
        return replace(
            self,
            spread=spreads if self.spread is None else self.spread,
            every_other=content if self.every_other is None else self.every_other,
            bound=bound,
        )

    @property
    def move(self) -> float:
        """What a strength of 1 moves the latent by."""
        return BOUND_MOVE if self._moves_bound else MOVE

    @property
    def _moves_bound(self) -> bool:
        """Whether moves are of a transformer's objects, which would be spread, and these are bound."""
        return bool(self.spread and self.bound)

    @property
    def moves(self) -> bool:
        """Whether it moves the latent, or bends predictions, at all."""
        return 0 not in (self.strength, self.step_size)

    @property
    def is_idle(self) -> bool:
        """Whether it neither looks at nor binds anything, in any run."""
        return self.strength == 0 and not self.bound

    @property
    def uses_guidance(self) -> bool:
        """Whether the update goes into the predicted noise rather than the latent."""
        return self.update == GUIDANCE

    def is_active(self, step: int, steps: int) -> bool:
        """Whether step ``step`` (from 0) of ``steps`` is steered; none is by a strength of 0."""
        return step in self.steered_steps(steps)

    def end_in(self, steps: int) -> float:
        """Where the window ends in a run of ``steps``, as a share of them: later than ``end`` where few are spread."""
        if not self.spread or self.bound:
            return self.end
        longer = self.start + (self.end - self.start) * _FEW_STEPS / steps
        return max(self.end, min(_LONGEST_WINDOW, longer))

    def along(self, noise: Sequence[float]) -> SteeringSchedule:
        """The same for one run, its window in shares of the noise where moves are to be spread.

        A shifted flow keeps most of its noise, and with it an open layout, for many steps. So the window is measured in
        noise: it holds all steps that begin with more of it than is left where the window ends. Of these as many are
        steered as in an even schedule, spread evenly over the window's noise.

        Args:
            noise: share of noise in the network's input before each step of the run, in [0, 1].
        """
        if self.chosen:
            return self
        evenly = self._window(len(noise))
        if not (self.spread and evenly and noise[0] > 0):
            return self
        left = [share / noise[0] for share in noise]
        first, last = 1 - self.start, 1 - self.end_in(len(noise))
        within = [step for step, share in enumerate(left) if first + _SAME > share > last + _SAME]
        chosen = list[int]()
        for turn in range(min(len(evenly), len(within))):
            wanted = first - (first - last) * turn / len(evenly)
            chosen.append(min(set(within) - set(chosen), key=lambda step: (abs(left[step] - wanted), step)))
        return self if not chosen or chosen == evenly else replace(self, chosen=tuple(sorted(chosen)))

    def steered_steps(self, steps: int) -> list[int]:
        """All steered steps of a run, ascending."""
        window = self._window(steps)
        if not self.every_other or self.order == IN_TURN or len(window) <= _MOVES:
            return window
        count = max(_MOVES, math.ceil(len(window) / 2))
        return [window[round(turn * (len(window) - 1) / (count - 1))] for turn in range(count)]

    def _window(self, steps: int) -> list[int]:
        """The steps of a run's window, ascending: those among which the steered ones are."""
        if self.strength == 0 or steps == 0:
            return []
        if self.chosen:
            return [step for step in self.chosen if step < steps]
        begin, end = self.start * steps, self.end_in(steps)
        if math.ceil(begin) / steps >= end:
            return [int(begin)]
        return [step for step in range(steps) if self.start <= step / steps < end]

    def bound_steps(self, steps: int) -> int:
        """In how many first steps of a run objects are bound to their regions."""
        return max(1, round(self.bound * steps)) if self.bound and steps else 0

    def refinements_at(self, step: SamplingStep) -> int:
        """At most so many descents within a step."""
        steered = self.steered_steps(step.steps)
        if self.refinements or step.number not in steered:
            return self.refinements or 1
        # A second move in the second of two steps took time, and gained nothing beyond the noise
        # (``python -m benchmarks.tune --steps 8 --guidance 1``, and ``--refinements 2``).
        before = 0 if self.order == IN_TURN else steered.index(step.number)
        moves = _BOUND_MOVES if self._moves_bound else _MOVES
        return max(1, moves // (len(steered) * (1 + before)))

    def is_last_of_few(self, step: SamplingStep) -> bool:
        """Whether this is the last steered step of a run in which so few are that its move matters for what is told."""
        few = len(self._window(step.steps)) <= _MOVES
        return self.refinements is None and few and self.is_last(step)

    def is_last(self, step: SamplingStep) -> bool:
        """Whether this is the last steered step of the run."""
        return step.number == self.steered_steps(step.steps)[-1]

    def look_before_restart(self, steps: int) -> int | None:
        """The step at which it is decided which pictures begin again.

        It is the last steered one, whose probe is looked at before its move. None where no picture may begin again,
        and where that is the first step: there the maps know nothing yet of what will be missing.
        """
        last = max(self.steered_steps(steps), default=0)
        return last if self.restarts and last else None

    def size_at(self, step: SamplingStep) -> float:
        """s at a step of the window; without one the move of the latent, in units of the noise."""
        size = self.strength * self.move if self.step_size is None else self.step_size
        if self.chosen:
            done = self.turn(step.number) / len(self.chosen)
        else:
            done = max(0.0, step.number / step.steps - self.start) / (self.end_in(step.steps) - self.start)
        return size * (1 - self.decay * done)

    def turn(self, step: int) -> int:
        """Which turn a step of the window is: its own number, or where steps were chosen, which of these it is."""
        return self.chosen.index(step) if self.chosen else step

    def due(self, relations: Sequence[Item], step: int) -> Sequence[Item]:
        """The relations that step ``step`` works on."""
        return relations if self.order == TOGETHER else [relations[self.turn(step) % len(relations)]]
