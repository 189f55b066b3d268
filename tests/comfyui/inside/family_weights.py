"""Networks of families whose weights are cast or quantised, or that are compiled: FAMILY BLOCKS …"""

import torch
from family_models import ROWS, scene_of
from setting import arguments, report, set_torch_compile_wrapper
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering

FORMATS = ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "nvfp4")


def family(name, blocks):
    """How each kind of its weights is steered, beside the plain ones."""
    row = ROWS[name]
    conditioning = row.conditioning()

    def told(model):
        plain = row.sample(model, conditioning)
        steering = Steering(scene_of(conditioning[0][0]), CentroidLoss(), SteeringSchedule(step_size=0.05))
        moved = row.sample(steer_model(model, steering), conditioning)
        map_seen = steering.trace[0].mean_map.flatten() if steering.trace else torch.zeros(1)
        return map_seen, {
            "unsteered": [str(step) for step in steering.unsteered],
            "moved": not torch.equal(moved, plain),
            "as it was": torch.equal(row.sample(model, conditioning), plain),
        }

    result = {}
    expected, result["plain"] = told(row.model())
    for kind in ("cast", *FORMATS):
        seen, result[kind] = told(row.cast() if kind == "cast" else row.quantised(blocks, kind))
        result[kind]["like the maps of full precision"] = torch.corrcoef(torch.stack([seen, expected]))[0, 1].item()
    compiled = row.model()
    set_torch_compile_wrapper(compiled, backend="eager")
    seen, result["compiled"] = told(compiled)
    result["compiled"]["difference"] = ((seen - expected).norm() / expected.norm()).item()
    for format in ("convrot_w4a4", "asym_w4a8_int8"):
        try:
            readable_network(row.quantised(blocks, format))
        except ValueError as error:
            result[format] = str(error)
    return result


with torch.inference_mode():
    report({name: family(name, blocks) for name, blocks in zip(arguments[::2], arguments[1::2])})
