"""Imports ComfyUI and the pack as ComfyUI does; run with COMFYUI PACK ARGUMENTS…"""

import importlib.util
import json
import os
import sys
from pathlib import Path

comfyui, pack, *arguments = sys.argv[1:]
sys.path.insert(0, comfyui)
on_card = os.environ.get("STEER_TEST_DEVICE") == "cuda"
sys.argv = [sys.argv[0], *(["--deterministic"] if on_card else ["--cpu"])]

import comfy.options

comfy.options.enable_args_parsing()

import comfy.cldm.cldm
import comfy.ops
import folder_paths  # noqa: F401, for the scripts
import torch
from comfy import (  # noqa: F401, for the scripts
    hooks,
    model_management,
    quant_ops,
    sample,
    samplers,
    sd,
)
from comfy import lora as loras  # noqa: F401, for the scripts
from comfy.controlnet import ControlBase, ControlNet, T2IAdapter  # noqa: F401, for the scripts
from comfy.ldm.lumina.controlnet import ZImage_Control  # noqa: F401, for the scripts
from comfy_api.torch_helpers import set_torch_compile_wrapper  # noqa: F401, for the scripts
from comfy_extras.nodes_advanced_samplers import SamplerLCMUpscale  # noqa: F401, for the scripts
from comfy_extras.nodes_apg import APG  # noqa: F401, for the scripts
from comfy_extras.nodes_context_windows import ContextWindowsManualNode  # noqa: F401, for the scripts
from comfy_extras.nodes_custom_sampler import BasicGuider, DualCFGGuider  # noqa: F401, for the scripts
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode  # noqa: F401, for the scripts
from comfy_extras.nodes_edit_model import ReferenceLatent  # noqa: F401, for the scripts
from comfy_extras.nodes_flux import (  # noqa: F401, for the scripts
    FluxGuidance,
    FluxKontextMultiReferenceLatentMethod,
    FluxKVCache,
)
from comfy_extras.nodes_freelunch import FreeU_V2  # noqa: F401, for the scripts
from comfy_extras.nodes_hooks import (  # noqa: F401, for the scripts
    ConditioningSetDefaultAndCombine,
    ConditioningSetProperties,
    CreateHookKeyframe,
    SetHookKeyframes,
)
from comfy_extras.nodes_model_advanced import (  # noqa: F401, for the scripts
    ModelNoiseScale,
    ModelSamplingDiscrete,
    ModelSamplingSD3,
)
from comfy_extras.nodes_model_patch import (  # noqa: F401, for the scripts
    QwenImageBlockWiseControlNet,
    QwenImageDiffsynthControlnet,
    ZImageFunControlnet,
)
from comfy_extras.nodes_perpneg import PerpNegGuider  # noqa: F401, for the scripts
from comfy_extras.nodes_tomesd import TomePatchModel  # noqa: F401, for the scripts

if on_card:  # as main.py does
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True, warn_only=True)

from nodes import ControlNetApplyAdvanced, common_ksampler  # noqa: F401, for the scripts

_spec = importlib.util.spec_from_file_location(
    "spatial_steering", Path(pack, "__init__.py"), submodule_search_locations=[pack]
)
_module = importlib.util.module_from_spec(_spec)
sys.modules["spatial_steering"] = _module
_spec.loader.exec_module(_module)

from spatial_steering.steering_core.backends.comfyui import sampling as backend
from spatial_steering.steering_core.backends.comfyui import text
from spatial_steering.steering_core.backends.comfyui.miniature import load_miniature
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.miniature.folder import MINIATURE_DIR
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering

PROMPT = "a photo of a giraffe above an airplane"


class Scene:
    """A loaded model with a prompt, sampled as nodes are: in inference mode."""

    def __init__(self, folder=MINIATURE_DIR, batch=2):
        self.model, self.clip, self.vae = load_miniature(Path(folder))
        self.positive = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(PROMPT))
        self.negative = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(""))
        self.grounded = text.ground_prompt(self.clip, PROMPT)
        self.latent = {"samples": torch.zeros(batch, 4, 16, 16)}

    def steered(self, model, **schedule):
        """A model steered by the default loss, and the log of its runs."""
        log, steering = RunLog(), Steering(self.grounded, CentroidLoss(), SteeringSchedule(**schedule))
        return backend.steer_model(model, steering, log), log

    def sample(self, model, sampler="euler", steps=8, latent=None, cfg=5.0, seed=7):
        """Samples (batch, 4, 16, 16)."""
        return common_ksampler(
            model, seed, steps, cfg, sampler, "normal", self.positive, self.negative, latent or self.latent
        )[0]["samples"]


class FailingLoss:
    """A centroid loss that acts on its values at the calls from the first to before the last, counted from 0."""

    def __init__(self, act, first, last):
        self.calls, self.act, self.acts = 0, act, range(first, last)
        self.loss = CentroidLoss()

    @property
    def reads(self):
        return self.loss.reads

    def for_network(self, network, relations):
        self.loss = self.loss.for_network(network, relations)
        return self

    def __call__(self, maps, relation, progress):
        loss = self.loss(maps, relation, progress)
        self.calls += 1
        return self.act(loss) if self.calls - 1 in self.acts else loss


def random_control_net(model):
    """A control net of the model's shape with random weights."""
    config = {**model.model.model_config.unet_config, "hint_channels": 3, "operations": comfy.ops.disable_weight_init}
    del config["out_channels"]
    network = comfy.cldm.cldm.ControlNet(**config)
    torch.manual_seed(3)
    for weight in network.parameters():
        weight.normal_(std=0.05)
    return ControlNet(network, load_device=model_management.get_torch_device())


def followed_gradients(entries):
    """The norms of the gradients of pictures in which some relation misses the target, in the looks of a run."""
    return [
        norm
        for entry in entries
        for norm, holds in zip(entry.gradient_norm.tolist(), entry.met.all(dim=0).tolist())
        if not holds
    ]


def report(result):
    """Hand the result to the test."""
    print()
    print(json.dumps(result))
