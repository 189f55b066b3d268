"""Steering beside what other nodes do to a model: caches, another network, weights of a class of their own."""

import logging
from types import SimpleNamespace

import torch
from family_models import ROWS, scene_of
from setting import (
    EasyCacheNode,
    LazyCacheNode,
    QwenImageBlockWiseControlNet,
    QwenImageDiffsynthControlnet,
    Scene,
    TomePatchModel,
    ZImage_Control,
    ZImageFunControlnet,
    backend,
    comfy,
    load_miniature,
    model_management,
    report,
    sample,
)
from spatial_steering.nodes.report import _decoded
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.miniature.folder import FLUX_MINIATURE_DIR, MINIATURE_DIR
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering
from torch import nn

STEPS = 12
OF_A_PATCH = {"device": torch.device("cpu"), "dtype": torch.float32, "operations": comfy.ops.manual_cast}


class Named(torch.Tensor):
    """As GGUF's: moved elsewhere it keeps what it says of its bytes."""

    def to(self, *arguments, **options):
        moved = super().to(*arguments, **options)
        moved.meant = self.meant
        return moved


def sampled(scene, model, steps=STEPS, skipped=0):
    """The latent, from a state of the random numbers in which some were drawn."""
    noise = sample.prepare_noise(scene.latent["samples"], 7)
    torch.rand(skipped)
    given = scene.latent["samples"]
    return sample.sample(
        model, noise, steps, 3.5, "euler", "normal", scene.positive, scene.negative, given, seed=7, disable_pbar=True
    )


def with_another_network(folder):
    """What a clone without dynamic memory does: the same weights in another module, and the wrappers stay."""
    scene = Scene(folder, batch=1)
    model, log = scene.steered(scene.model, bound=0.25)
    latent = sampled(scene, model.clone(model_override=load_miniature(folder)[0].get_clone_model_override()))
    run = log.run_of(latent)
    own, own_log = scene.steered(scene.model, bound=0.25)
    return {
        "probed": [entry.step for entry in run.entries],
        "unsteered": [str(step) for step in run.unsteered],
        "same": torch.equal(latent, own_log.run_of(sampled(scene, own)).latent),
    }


def with_easycache():
    scene = Scene(FLUX_MINIATURE_DIR, batch=1)
    scene.model = EasyCacheNode.execute(scene.model, 0.2, 0.15, 0.95, False).result[0]
    model, log = scene.steered(scene.model, step_size=0.0, end=0.5)
    latent = sampled(scene, model, 25)
    return {
        "same": torch.equal(latent, sampled(scene, scene.model, 25)),
        "unsteered": [str(step) for step in log.run_of(latent).unsteered],
    }


def with_random_merging(**schedule):
    """ToMe draws from the global random state in every forward, and here every relation is met already."""
    scene = Scene(batch=1)
    scene.model = TomePatchModel.execute(scene.model, 0.5)[0]
    model, log = scene.steered(scene.model, target=10.0, **schedule)
    latent = sampled(scene, model)
    return {
        "looks": len(log.run_of(latent).entries),
        "same": torch.equal(latent, sampled(scene, scene.model)),
        "draws": not torch.equal(latent, sampled(scene, scene.model, skipped=1)),
    }


def with_restarts(node, *settings):
    """Which pictures began again, of three that are sampled with a node, and whether the other is the same."""
    scene = Scene(batch=3)
    scene.model = node.execute(scene.model, *settings)[0]
    model, log = scene.steered(scene.model, refinements=1)
    plain = log.run_of(sampled(scene, model))
    overlaps = plain.entries[-1].presence.worst_overlap
    model, log = scene.steered(scene.model, refinements=1, restarts=1, restart_overlap=overlaps.min().item() + 1e-6)
    run = log.run_of(sampled(scene, model))
    other = int(overlaps.argmin())
    return {
        "begun again": [one.image for restarts in run.restarts for one in restarts.restarted],
        "failures": [restarts.failure for restarts in run.restarts],
        "other": other,
        "same": torch.equal(run.latent[other], plain.latent[other]),
    }


def with_weights_of_a_class():
    weight = torch.ones(4, 4).as_subclass(Named)
    weight.meant = "Q8_0"
    layer = nn.Linear(4, 4, bias=False)
    layer._parameters["weight"] = weight
    patcher = SimpleNamespace(model_patches_models=list)
    guider = SimpleNamespace(
        inner_model=SimpleNamespace(diffusion_model=layer), loaded_models=[], model_patcher=patcher
    )
    with ordinary_weights(guider):
        within = layer.weight
        told = {
            "class": type(within).__name__,
            "is ordinary": not within.is_inference(),
            "is not copied": within.data_ptr() == weight.data_ptr(),
            "moved": within.to(torch.float64).meant,
        }
    return {**told, "is back": layer._parameters["weight"] is weight}


def loaded(network):
    """With random weights, as ModelPatchLoader loads a file."""
    chance = torch.Generator().manual_seed(5)
    weights = {name: 0.1 * torch.randn(value.shape, generator=chance) for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    device, offload = model_management.get_torch_device(), model_management.unet_offload_device()
    return comfy.model_patcher.CoreModelPatcher(network, load_device=device, offload_device=offload)


def with_qwen_control(row, model):
    """A control net that core's nodes put in as a patch of blocks."""
    network = QwenImageBlockWiseControlNet(num_layers=8, dim=model.model.diffusion_model.inner_dim, **OF_A_PATCH)
    return QwenImageDiffsynthControlnet().diffsynth_controlnet(model, loaded(network), *hint(row, (1,)), 1.0)[0]


def with_z_image_control(row, model):
    """Likewise."""
    heads = {"n_heads": 8, "n_kv_heads": 8, "multiple_of": 32, "n_control_layers": 6}
    network = ZImage_Control(dim=model.model.diffusion_model.dim, **heads, **OF_A_PATCH)
    return ZImageFunControlnet().diffsynth_controlnet(model, loaded(network), *hint(row, ()), 1.0)[0]


def hint(row, frames):
    """An autoencoder that makes noise of a picture, and a picture of the latent's size."""
    height, width = (side + side % 2 for side in row.sides)
    latent = torch.randn(1, 16, *frames, height, width, generator=torch.Generator().manual_seed(2))
    vae = SimpleNamespace(spacial_compression_encode=lambda: 8, encode=lambda picture: latent)
    return vae, torch.rand(1, 8 * height, 8 * width, 3)


def with_control_by_a_patch(name, patched):
    """Which steps were steered, and whether the patch does something."""
    row = ROWS[name]
    model, conditioning, log = row.model(), row.conditioning(), RunLog()
    controlled = patched(row, model)
    steering = Steering(scene_of(conditioning[0][0]), CentroidLoss(), SteeringSchedule(end=0.5, refinements=1))
    run = log.run_of(row.sample(backend.steer_model(controlled, steering, log), conditioning, steps=4))
    acts = not torch.equal(row.sample(controlled, conditioning, steps=4), row.sample(model, conditioning, steps=4))
    return {
        "steered": [entry.step for entry in run.entries],
        "unsteered": [str(step) for step in run.unsteered],
        "acts": acts,
    }


class Bringing:
    """A patch like that of core's USO Style Reference, whose tokens stand before the text, or after it."""

    def __init__(self, is_before, changes=False):
        self.is_before, self.changes = is_before, changes

    def __call__(self, inputs):
        text = 1.1 * inputs["txt"] if self.changes else inputs["txt"]
        chance = torch.Generator().manual_seed(3)
        brought = torch.randn(1, 6, text.shape[2], generator=chance).expand(len(text), -1, -1)
        places = torch.zeros(len(text), 6, inputs["txt_ids"].shape[2])
        parts = [(brought, places), (text, inputs["txt_ids"])]
        tokens, ids = zip(*(parts if self.is_before else parts[::-1]))
        return {**inputs, "txt": torch.cat(tokens, dim=1), "txt_ids": torch.cat(ids, dim=1)}


def with_brought_tokens():
    """Steered and bound, with tokens on this side of the text and on that: where they stand makes no difference."""
    scene, runs = Scene(FLUX_MINIATURE_DIR, batch=1), {}
    for name, patch in {"before": Bringing(True), "after": Bringing(False), "changed": Bringing(True, True)}.items():
        patched = scene.model.clone()
        patched.set_model_post_input_patch(patch)
        model, log = scene.steered(patched, bound=0.25)
        runs[name] = log.run_of(sampled(scene, model))
    before, after, changed = runs.values()
    return {
        "same maps": all(
            torch.allclose(one.mean_map, other.mean_map, atol=1e-4) for one, other in zip(before.entries, after.entries)
        ),
        "looks": len(before.entries),
        "same latent": torch.allclose(before.latent, after.latent, atol=1e-2),
        "bound": [[len(run.binding.bound), len(run.binding.unbound)] for run in (before, after)],
        "changed": [str(step) for step in (*changed.unsteered, *changed.binding.unbound)],
    }


def pictures_of_frames():
    """What Token Map Preview makes of an autoencoder of videos, and of pictures."""
    return [
        list(_decoded(SimpleNamespace(decode=lambda _, size=size: torch.zeros(size)), torch.zeros(2, 4, 8, 8)).shape)
        for size in ((2, 9, 64, 32, 3), (2, 64, 32, 3))
    ]


logging.disable(logging.WARNING)
with torch.inference_mode():
    result = {
        "another network": {
            folder.name: with_another_network(folder) for folder in (MINIATURE_DIR, FLUX_MINIATURE_DIR)
        },
        "easycache": with_easycache(),
        "brought tokens": with_brought_tokens(),
        "control by a patch": {
            "Qwen-Image": with_control_by_a_patch("Qwen-Image", with_qwen_control),
            "Z-Image": with_control_by_a_patch("Z-Image", with_z_image_control),
        },
        "random merging": {update: with_random_merging(update=update) for update in (DESCENT, GUIDANCE)},
        "restarts": {
            "random merging": with_restarts(TomePatchModel, 0.5),
            "EasyCache": with_restarts(EasyCacheNode, 0.2, 0.15, 0.95, False),
            "LazyCache": with_restarts(LazyCacheNode, 0.2, 0.15, 0.95, False),
        },
        "pictures of frames": pictures_of_frames(),
        "weights of a class": with_weights_of_a_class(),
    }
report(result)
