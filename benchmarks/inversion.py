"""How faithfully inversion comes back to a picture of the miniature's world.

python -m benchmarks.inversion

PSNR in dB between the autoencoder's own reconstruction of a picture and the picture that the
sampler draws from the inverted noise, without classifier-free guidance.
"""

from __future__ import annotations

import itertools

import torch

from steering_core.backends.diffusers import load_pipeline
from steering_core.backends.diffusers.recording import RecordablePipeline, recordable
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.relations.scene import relation_scene
from steering_core.training.inversion import invert, psnr, reconstruct
from steering_core.training.sources import MiniatureScenes
from tools.command import command_line

_BATCH = 4


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("--pictures", type=int, default=32, help="how many (default: %(default)s)")
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 50])
    parser.add_argument("--refinements", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    model = recordable(load_pipeline(MINIATURE_DIR, "cpu"))
    print("| steps | refinements | network evaluations | PSNR, mean | PSNR, worst |\n| --- | --- | --- | --- | --- |")
    for steps, refinements in itertools.product(options.steps, options.refinements):
        values = [
            coming_back(model, first, min(_BATCH, options.pictures - first), steps, refinements)
            for first in range(0, options.pictures, _BATCH)
        ]
        all_values = torch.cat(values)
        evaluations = steps * (1 + refinements)
        decibels = f"{all_values.mean():.1f} dB | {all_values.min():.1f} dB"
        print(f"| {steps} | {refinements} | {evaluations} | {decibels} |", flush=True)


@torch.no_grad()
def coming_back(model: RecordablePipeline, first: int, count: int, steps: int, refinements: int) -> torch.Tensor:
    """Of ``count`` pictures from ``first`` on, under their true prompts: (count,), in dB."""
    scenes = MiniatureScenes(first + count, seed=2)
    examples = [scenes[index] for index in range(first, first + count)]
    levels = {level.sigma: level for level in model.noise_levels(steps)}
    clean = model.encode([example.picture for example in examples])
    prompts = [relation_scene(example.subject, example.relation, example.object).prompt for example in examples]
    prompted = model.with_prompts(prompts)

    def derivative(latent: torch.Tensor, sigma: float) -> torch.Tensor:
        return prompted.derivative(latent, levels[sigma])

    *_, noisy = invert(derivative, clean, list(levels), refinements)
    return psnr(model.decode(reconstruct(derivative, noisy, list(levels))), model.decode(clean))


if __name__ == "__main__":
    main()
