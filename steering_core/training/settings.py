"""How a relation classifier is trained."""

from __future__ import annotations

from dataclasses import dataclass

#: Of the optimiser's numbers, which are of 32 bits.
_LARGEST = 3e38


@dataclass(frozen=True)
class TrainingSettings:
    """How a classifier is trained; the defaults are the published ones for Stable Diffusion 1.4 but for ``augment``.

    Attributes:
        epochs: at most so many.
        batch: examples a step, one picture at one noise level each.
        rate, weight_decay: of AdamW.
        rate_factor, rate_patience: the rate is multiplied by the factor when the validation loss has
            not fallen for so many epochs.
        patience: training ends when it has not fallen for so many.
        augment: also learn from mirrored maps and swapped objects (see ``augmentation``); not published.
        seed: of weights, order and dropout.

    Raises:
        ValueError: a setting is outside its range.
    """

    epochs: int = 150
    batch: int = 64
    rate: float = 1e-4
    weight_decay: float = 0.05
    rate_factor: float = 0.5
    rate_patience: int = 5
    patience: int = 10
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "rate_patience", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if not 0 < self.rate <= _LARGEST or not 0 <= self.weight_decay <= _LARGEST or not 0 < self.rate_factor < 1:
            raise ValueError(
                f"rate must be greater than 0, weight_decay 0 or more, both at most {_LARGEST:.0e}, and rate_factor "
                f"between 0 and 1, not {self.rate}, {self.weight_decay} and {self.rate_factor}."
            )
