"""Where steering points when the attention that it reads is flatter or sharper, on both miniatures, without verdicts.

python -m benchmarks.contrast

Pictures are steered by maps of one contrast, the default. At each latent that they come to, the direction of a move is
asked again with the attention of scaled logits, by maps of the network's own contrast and by those of one contrast,
and held against the direction with the logits as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.logits import scaled_logits
from benchmarks.measuring import MEASURED_PROMPTS, PROMPT_SEED, pipeline
from steering_core.backends.diffusers import ground_prompt
from steering_core.cli.options import positive
from steering_core.gradient import Probe
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.prompts import unseen_pair_prompts
from steering_core.miniature.score import SEEDS, sampled
from steering_core.probe import MapRequest
from steering_core.schedule import SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from tools.command import command_line

#: Of the logits; the others are held against the first.
_SCALES = (1.0, 0.25, 4.0)
#: Of the maps, by whether they are standardised.
_CONTRASTS = {"own": False, "one": True}
#: A move without a target, in units of the latent.
_ASKED = SteeringSchedule(step_size=1.0, refinements=1, target=-math.inf)
#: By contrast and scale, of each latent: the cosine, and the loss.
_Seen = dict[tuple[str, float], list[Tensor]]


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("--prompts", type=positive, default=3, help="how many (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(table({model: directions(model, options.prompts) for model in SHIPPED}))


def directions(model: str, prompts: int) -> _Seen:
    """What is seen in the pictures of so many prompts.

    Args:
        model: a shipped miniature's name.
    """
    drawing = pipeline(SHIPPED[model], "cpu")
    seen: _Seen = {}
    for prompt in unseen_pair_prompts(MEASURED_PROMPTS + prompts, PROMPT_SEED)[MEASURED_PROMPTS:]:
        sampled(
            drawing,
            prompt.text,
            SEEDS,
            _Asking(ground_prompt(drawing, prompt.text), CentroidLoss(standardised=True), seen=seen),
        )
    return seen


@dataclass
class _Asking(Steering):
    """Asks at each latent where else it could have been moved to."""

    seen: _Seen = field(default_factory=dict)

    @property
    def request(self) -> MapRequest:
        """See ``Steering``; a gradient passes through both kinds of maps."""
        return replace(super().request, follows_own=True)

    def descend(
        self, latent: Tensor, probe: Probe, noise_level: float, step: SamplingStep, mask: Tensor | None = None
    ) -> Tensor:
        """See ``Steering``."""
        for contrast, standardised in _CONTRASTS.items():
            usual = None
            for scale in _SCALES:
                loss = CentroidLoss(layers=self.loss.reads.all_layers, standardised=standardised)
                asked = Steering(self.scene, loss, _ASKED)
                with scaled_logits(scale):
                    direction = (latent - asked.descend(latent, probe, 1.0, step, mask)).flatten(1)
                usual = direction if usual is None else usual
                found = torch.stack([F.cosine_similarity(direction, usual), asked.trace[0].loss[0]])
                self.seen.setdefault((contrast, scale), []).append(found)
        return super().descend(latent, probe, noise_level, step, mask)


def table(seen: Mapping[str, _Seen]) -> str:
    """Markdown: by miniature, contrast and scale the means over latents."""
    lines = ["| miniature | contrast of the maps | logits | cosine | loss |", "| --- | --- | --- | --- | --- |"]
    for model, contrast, scale in product(seen, _CONTRASTS, _SCALES):
        cosine, loss = torch.cat(seen[model][contrast, scale], dim=1).mean(dim=1).tolist()
        lines.append(f"| {model} | {contrast} | × {scale:g} | {cosine:.2f} | {loss:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
