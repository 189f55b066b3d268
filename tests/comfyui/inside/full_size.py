"""Models at full size with random weights, loaded as ComfyUI loads files, unsteered and steered: FAMILY PRECISION SIDE.

SIDE is the latent's. What is told: seconds of a picture, and gigabytes at the peak, of each, and on which card.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from family_models import ROWS, SDXL, scene_of
from quantising import quantised_weights
from setting import arguments, comfy, model_management, on_card, report
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering


@dataclass(frozen=True)
class FullSize:
    """What differs from the reduced network.

    Attributes:
        unet: of its configuration.
        width, pooled: of the conditioning's vectors.
        blocks: what stands in the names of the blocks' weights.
        prefix: of the names in a file.
    """

    unet: dict[str, Any]
    width: int
    pooled: int
    blocks: str
    prefix: str


FULL = {
    "FLUX.1": FullSize(
        {
            "vec_in_dim": 768,
            "context_in_dim": 4096,
            "hidden_size": 3072,
            "mlp_ratio": 4.0,
            "num_heads": 24,
            "depth": 19,
            "depth_single_blocks": 38,
            "axes_dim": [16, 56, 56],
        },
        width=4096,
        pooled=768,
        blocks="_blocks.",
        prefix="",
    ),
    "SDXL": FullSize(
        {"model_channels": 320, "context_dim": 2048, "num_head_channels": 64},
        width=2048,
        pooled=1280,
        blocks=".transformer_blocks.",
        prefix="model.diffusion_model.",
    ),
}


def weights_of(row, full, precision):
    """A checkpoint's weights in bf16, or those of the blocks in a quantised format; made where ComfyUI computes."""
    there = model_management.get_torch_device()
    network = row.network(device=torch.device("meta")).diffusion_model
    torch.manual_seed(0)
    network.to_empty(device=there)
    for part, weight in network.state_dict().items():
        if weight.dim() > 1:
            weight.normal_(std=weight[0].numel() ** -0.5)
        else:
            weight.fill_(1.0 if "norm" in part and not part.endswith("bias") else 0.0)
    network.to(torch.bfloat16)
    weights = network.state_dict() if precision == "bf16" else quantised_weights(network, full.blocks, precision)
    return {f"{full.prefix}{part}": weight.cpu() for part, weight in weights.items()}


def measured(row, model, conditioning):
    """Latents, seconds and peak gigabytes of a picture of four steps, the second time that it is drawn."""
    row.sample(model, conditioning, steps=1)
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    latents = row.sample(model, conditioning, steps=4)
    told = {"seconds": time.perf_counter() - begin}
    if on_card:
        told |= {"peak": torch.cuda.max_memory_allocated() / 1e9, "card": torch.cuda.get_device_name()}
    return latents, told


name, precision, side = arguments
row = {**ROWS, "SDXL": SDXL}[name]
full = FULL[name]
row = replace(
    row,
    unet={**row.unet, **full.unet},
    width=full.width,
    extra={"pooled_output": (1, full.pooled)},
    sides=(int(side), int(side)),
    batch=1,
)
with torch.inference_mode():
    model = comfy.sd.load_diffusion_model_state_dict(weights_of(row, full, precision))
    conditioning = row.conditioning()
    plain, unsteered = measured(row, model, conditioning)
    steering = Steering(
        scene_of(conditioning[0][0]), CentroidLoss(), SteeringSchedule(step_size=0.05, target=-math.inf)
    )
    moved, steered = measured(row, steer_model(model, steering), conditioning)
report(
    {
        "parameters": sum(weight.numel() for weight in model.model.diffusion_model.parameters()),
        "unsteered": unsteered,
        "steered": steered,
        "failed": [str(step) for step in steering.unsteered],
        "moved": bool(moved.isfinite().all()) and not torch.equal(moved, plain),
        "loss": [entry.loss.mean().item() for entry in steering.trace],
        "patcher": type(model).__name__,
    }
)
