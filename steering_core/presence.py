"""How present each object is in the model's attention, and when that is weak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .token_maps import overlaps, threshold_at_mean, variances

#: Two objects that share more of their attention than this at the last look: one of them may go missing. Of the
#: measures here only the overlap told anything of that on the miniature, and not much (``benchmarks.warnings``).
MOST_OVERLAP = 0.5


@dataclass(frozen=True)
class Presence:
    """What one probe's maps say of each object.

    Attributes:
        strength: mean attention that the object's tokens get, (batch, objects), in [0, 1].
        spread: root mean square distance of the map from its centre, above its mean, (batch, objects), in shares of
            the picture's side: at most 0.71.
        overlap: share of its attention that it has in common with each other object, (batch, objects, objects), in
            [0, 1], 0 with itself.
    """

    strength: Tensor
    spread: Tensor
    overlap: Tensor

    @classmethod
    def of(cls, mean_map: Tensor, strength: Tensor) -> Presence:
        """From the maps of a probe.

        Args:
            mean_map: (batch, objects, H, W), each summing to 1.
            strength: (batch, objects).
        """
        shared = overlaps(mean_map)
        others = 1 - torch.eye(shared.shape[-1])
        return cls(strength, variances(threshold_at_mean(mean_map)).sqrt(), shared * others)

    @property
    def largest_overlap(self) -> Tensor:
        """Of each object with any other, (batch, objects)."""
        return self.overlap.amax(dim=-1)

    @property
    def worst_overlap(self) -> Tensor:
        """Of any two objects of a picture, (batch,)."""
        return self.largest_overlap.amax(dim=-1)

    @property
    def weak(self) -> Tensor:
        """Whether two objects of a picture share so much that one may be missing, (batch,)."""
        return self.worst_overlap > MOST_OVERLAP

    def of_image(self, image: int) -> Presence:
        """Of one picture of the batch alone."""
        return Presence(*(values[image : image + 1] for values in (self.strength, self.spread, self.overlap)))

    def describe(self, names: Sequence[str]) -> list[str]:
        """Of each object in words, of a batch in the mean."""
        strength, spread, overlap = (values.nanmean(dim=0) for values in (self.strength, self.spread, self.overlap))
        with_others = overlap - torch.eye(len(overlap))
        lines = []
        for number in range(len(names)):
            line = f"strength {strength[number]:.2%}, spread {spread[number]:.2f}"
            if len(names) > 1:
                other = int(with_others[number].argmax())
                line += f", {overlap[number, other]:.0%} shared with {names[other]}"
            lines.append(line)
        return lines

    def warnings(self, names: Sequence[str]) -> list[str]:
        """A line for each picture whose objects share much."""
        lines = []
        for image in self.weak.nonzero().flatten().tolist():
            first, second = divmod(int(self.overlap[image].argmax()), len(names))
            share = self.overlap[image, first, second]
            lines.append(
                f"picture {image + 1}: {names[first]} and {names[second]} share {share:.0%} of their attention, one "
                f"may be missing (a weak sign: look at the picture)"
            )
        return lines
