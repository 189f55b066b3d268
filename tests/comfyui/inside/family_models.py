"""A network of each family at reduced size with random weights, as ComfyUI builds it, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from quantising import quantised_weights
from setting import comfy, common_ksampler, model_management, on_card
from spatial_steering.steering_core.parser import parse
from spatial_steering.steering_core.tokens import GroundedRelation, GroundedScene, Token

#: A card's kernels of quantised weights know no other precision than it is used with.
COMPUTED_IN = torch.bfloat16 if on_card else torch.float32
#: Tokens of every conditioning, and cells of the latent's sides: not square, and odd where patches are padded.
TEXTS, HEIGHT, WIDTH, BATCH = 7, 10, 13, 2
#: Tokens of two objects in it.
OBJECTS = [(1,), (3, 4)]


def patcher(network):
    """A MODEL of the network, on the device that ComfyUI runs on."""
    there, meanwhile = model_management.get_torch_device(), model_management.unet_offload_device()
    return comfy.model_patcher.ModelPatcher(network, load_device=there, offload_device=meanwhile)


def scene_of(vectors):
    """Two objects whose tokens are given; the conditioning holds no words."""
    scene = parse("a dog above a cat")
    sequence = tuple(Token(index, "") for index in range(TEXTS))
    relations = (GroundedRelation(0, scene.relations[0].relation, 1),)
    return GroundedScene(scene, sequence, tuple(OBJECTS), relations, vectors)


@dataclass(frozen=True)
class Row:
    """A family at reduced size.

    Attributes:
        config: class of ComfyUI's that describes the model.
        unet: its ``unet_config``.
        width: of the conditioning's vectors.
        channels: of the latent.
        patch: side of a token in cells of the latent.
        before_text, before_image: how many keys stand before the text and the image in the joint sequence; the image
            has its own place among the queries, which are all tokens. None for a cross-attention.
        texts: text keys of the attention.
        first: where the conditioning begins among them.
        frames: of the latent; none for one without that axis.
        extra: further entries of the conditioning.
        sides: (height, width) of the latent.
        batch: latents drawn at once.
    """

    config: str
    unet: dict[str, Any]
    width: int = 40
    channels: int = 16
    patch: int = 2
    before_text: int | None = 0
    before_image: int | None = TEXTS
    texts: int = TEXTS
    first: int = 0
    frames: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    sides: tuple[int, int] = (HEIGHT, WIDTH)
    batch: int = BATCH

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in tokens."""
        height, width = self.sides
        return -(-height // self.patch), -(-width // self.patch)

    def _model_config(self):
        config = getattr(comfy.supported_models, self.config)(dict(self.unet))
        config.unet_config.update(self.unet)  # over what a class adds of its own
        config.set_inference_dtype(torch.float32, None)
        return config

    def network(self, device=None):
        """ComfyUI's own, without weights that mean anything."""
        return self._model_config().get_model({}, "", device=device)

    def quantised(self, blocks, format):
        """The same MODEL, with the linear layers of these blocks in a quantised format; see ``quantised_weights``."""
        config = self._model_config()
        config.quant_config = {"mixed_ops": True}
        config.set_inference_dtype(COMPUTED_IN, COMPUTED_IN)
        return self._with_weights(config, quantised_weights(self.model().model.diffusion_model, blocks, format))

    def cast(self):
        """The same MODEL, with weights in bf16 that are cast to float32 layer by layer."""
        config = self._model_config()
        config.set_inference_dtype(torch.bfloat16, COMPUTED_IN)
        return self._with_weights(config, self.model().model.diffusion_model.state_dict())

    @staticmethod
    def _with_weights(config, weights):
        network = config.get_model({}, "")
        missing, unexpected = network.diffusion_model.load_state_dict(weights, strict=False)
        assert not missing and not unexpected, (missing[:3], unexpected[:3])
        return patcher(network)

    def model(self):
        """A MODEL with random weights, in float32."""
        torch.manual_seed(0)
        network = self.network()
        for name, weight in [*network.diffusion_model.named_parameters(), *network.diffusion_model.named_buffers()]:
            if not weight.is_floating_point():
                continue
            if weight.dim() == 1 and "norm" in name and name.endswith(("weight", "scale")):
                weight.normal_(1.0, 0.1)
            else:
                weight.normal_(std=weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.1)
        return patcher(network)

    def conditioning(self):
        """A CONDITIONING of random vectors."""
        generator = torch.Generator().manual_seed(1)
        vectors = torch.randn(1, TEXTS, self.width, generator=generator)
        extra = {
            name: torch.randn(value, generator=generator) if isinstance(value, tuple) else value
            for name, value in self.extra.items()
        }
        return [[vectors, extra]]

    def latent(self):
        """The latent to begin with, zero."""
        shape = (self.batch, self.channels, *(() if self.frames is None else (self.frames,)), *self.sides)
        return torch.zeros(shape)

    def sample(self, model, conditioning, steps=3):
        """Latents of a fixed seed, at cfg 1."""
        latent = {"samples": self.latent()}
        return common_ksampler(model, 3, steps, 1.0, "euler", "simple", conditioning, conditioning, latent)[0][
            "samples"
        ]


_FLUX = {
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 24,
    "context_in_dim": 40,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
_LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 64,
    "cap_feat_dim": 40,
    "n_layers": 4,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "qk_norm": True,
    "axes_dims": [8, 12, 12],
    "axes_lens": [64, 64, 64],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 2.0,
    "z_image_modulation": True,
}
_QWEN = {
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 40,
    "axes_dims_rope": (8, 12, 12),
}
_POOLED = {"pooled_output": (1, 24)}
#: As SDXL's, where model_channels is 320 and context_dim 2048.
SDXL_UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "use_linear_in_transformer": True,
    "use_spatial_transformer": True,
    "legacy": False,
    "num_head_channels": 16,
    "context_dim": 64,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "dtype": torch.float32,
}
#: Not a joint attention, so no row of that test.
SDXL = Row("SDXL", SDXL_UNET, width=64, channels=4, extra={"pooled_output": (1, 1280)})

ROWS = {
    "Z-Image": Row(
        "ZImage",
        {**_LUMINA, "dim": 256, "n_heads": 8, "n_kv_heads": 8, "time_scale": 1000.0, "pad_tokens_multiple": 32},
        texts=32,
        before_image=32,
    ),
    "Lumina 2": Row("Lumina2", {**_LUMINA, "n_kv_heads": 1, "z_image_modulation": False}),
    "Krea 2": Row(
        "Krea2",
        {
            "features": 64,
            "tdim": 32,
            "txtdim": 16,
            "heads": 2,
            "kvheads": 1,
            "multiplier": 2,
            "layers": 4,
            "txtlayers": 3,
            "txtheads": 2,
            "txtkvheads": 2,
        },
        width=48,
        frames=1,
    ),
    "Qwen-Image": Row(
        "QwenImage",
        _QWEN,
        frames=1,
    ),
    "Qwen-Image Edit": Row(
        "QwenImage",
        _QWEN,
        frames=1,
        extra={"reference_latents": [torch.ones(1, 16, 1, 6, 8), torch.ones(1, 16, 1, 4, 4)]},
    ),
    "Qwen-Image, padded prompts": Row(
        "QwenImage",
        _QWEN,
        frames=1,
        extra={"attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0, 0]])},
    ),
    "Mage-Flow": Row(
        "MageFlow",
        {**_QWEN, "in_channels": 128, "out_channels": 128},
        channels=128,
        patch=1,
        sides=(5, 7),
    ),
    "FLUX.1": Row("Flux", _FLUX, extra=_POOLED),
    "FLUX.1 Kontext": Row(
        "Flux",
        {**_FLUX, "default_ref_method": "offset"},
        extra={**_POOLED, "reference_latents": [torch.ones(1, 16, 6, 8)]},
    ),
    "FLUX.2 dev": Row(
        "Flux2",
        {
            **_FLUX,
            "in_channels": 128,
            "out_channels": 128,
            "patch_size": 1,
            "vec_in_dim": None,
            "axes_dim": [8, 8, 8, 8],
            "global_modulation": True,
            "mlp_silu_act": True,
            "qkv_bias": False,
            "ops_bias": False,
            "txt_ids_dims": [3],
            "ref_index_scale": 10.0,
        },
        channels=128,
        patch=1,
        texts=512,
        first=512 - TEXTS,
        before_image=512,
        sides=(5, 7),
    ),
    "Chroma": Row(
        "Chroma",
        {
            **{name: value for name, value in _FLUX.items() if name != "guidance_embed"},
            "in_channels": 64,
            "out_channels": 64,
            "in_dim": 64,
            "out_dim": 64,
            "hidden_dim": 64,
            "n_layers": 2,
        },
    ),
    "Anima": Row(
        "Anima",
        {
            "max_img_h": 240,
            "max_img_w": 240,
            "max_frames": 128,
            "in_channels": 16,
            "out_channels": 16,
            "patch_spatial": 2,
            "patch_temporal": 1,
            "model_channels": 64,
            "num_blocks": 4,
            "num_heads": 2,
            "concat_padding_mask": True,
            "crossattn_emb_channels": 1024,
            "pos_emb_cls": "rope3d",
            "pos_emb_learnable": True,
            "pos_emb_interpolation": "crop",
            "min_fps": 1,
            "max_fps": 30,
            "use_adaln_lora": True,
            "adaln_lora_dim": 32,
        },
        width=1024,
        frames=1,
        texts=512,
        before_text=None,
        before_image=None,
        extra={"t5xxl_ids": torch.arange(5, 5 + TEXTS, dtype=torch.int), "t5xxl_weights": torch.ones(TEXTS)},
    ),
    "SD 3": Row(
        "SD3",
        {
            "in_channels": 16,
            "input_size": None,
            "depth": 4,
            "patch_size": 2,
            "num_patches": 64,
            "pos_embed_max_size": 8,
            "adm_in_channels": 24,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 40, "out_features": 256},
            },
            "x_block_self_attn_layers": [0, 1],
            "qk_norm": "rms",
        },
        extra=_POOLED,
    ),
    "HiDream-I1": Row(
        "HiDream",
        {
            "patch_size": 2,
            "in_channels": 16,
            "out_channels": 16,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "caption_channels": [40, 40],
            "text_emb_dim": 24,
            "num_routed_experts": 2,
            "num_activated_experts": 1,
            "axes_dims_rope": (16, 8, 8),
            "max_resolution": (64, 64),
            "llama_layers": [0, 1, 2, 3],
        },
        texts=TEXTS + 2 * 3,
        before_text=35,
        before_image=0,
        extra={**_POOLED, "conditioning_llama3": (1, 4, 3, 40)},
    ),
    "HunyuanImage 2.1": Row(
        "HunyuanImage21",
        {
            **{name: value for name, value in _FLUX.items() if name != "txt_ids_dims"},
            "in_channels": 64,
            "out_channels": 64,
            "vec_in_dim": None,
            "patch_size": [1, 1],
            "axes_dim": [16, 16],
            "guidance_embed": False,
            "byt5": True,
            "meanflow": False,
            "meanflow_sum": False,
            "use_cond_type_embedding": False,
            "vision_in_dim": None,
        },
        channels=64,
        patch=1,
        sides=(5, 7),
        texts=TEXTS + 4,
        before_image=TEXTS + 4,
        extra={"conditioning_byt5small": (1, 4, 1472)},
    ),
    "Kandinsky 5": Row(
        "Kandinsky5Image",
        {
            "model_dim": 64,
            "ff_dim": 96,
            "time_dim": 32,
            "in_text_dim": 40,
            "in_text_dim2": 24,
            "visual_embed_dim": 64,
            "num_text_blocks": 1,
            "num_visual_blocks": 4,
            "axes_dims": (8, 12, 12),
            "rope_scale_factor": (1.0, 1.0, 1.0),
        },
        before_text=None,
        before_image=None,
        extra=_POOLED,
        sides=(10, 14),  # ComfyUI's gives a longer picture back where it pads
    ),
    "ERNIE-Image": Row(
        "ErnieImage",
        {
            "hidden_size": 64,
            "num_attention_heads": 2,
            "num_layers": 4,
            "ffn_hidden_size": 96,
            "text_in_dim": 40,
            "rope_axes_dim": (8, 12, 12),
        },
        channels=128,
        patch=1,
        sides=(5, 7),
        before_text=35,
        before_image=0,
    ),
    "AuraFlow": Row(
        "AuraFlow",
        {
            "cond_seq_dim": 40,
            "n_double_layers": 2,
            "n_layers": 4,
            "dim": 512,
            "n_heads": 2,
            "max_seq": 64,
        },
        channels=4,
        before_text=8,
        before_image=8 + TEXTS,
    ),
    "Wan": Row(
        "WAN21_T2V",
        {
            "image_model": "wan2.1",
            "model_type": "t2v",
            "dim": 64,
            "ffn_dim": 96,
            "num_heads": 2,
            "num_layers": 4,
            "text_dim": 40,
            "freq_dim": 32,
            "in_dim": 16,
            "out_dim": 16,
            "patch_size": (1, 2, 2),
        },
        frames=1,
        before_text=None,
        before_image=None,
    ),
    "JoyImage": Row(
        "JoyImage",
        {
            "patch_size": [1, 2, 2],
            "in_channels": 16,
            "out_channels": 16,
            "hidden_size": 64,
            "num_attention_heads": 2,
            "num_layers": 4,
            "rope_dim_list": [8, 12, 12],
            "text_dim": 40,
        },
        frames=1,
        before_text=35 + 12,
        before_image=0,
        extra={"reference_latents": [torch.ones(1, 16, 1, 6, 8)]},
    ),
    "Lens": Row(
        "Lens",
        {
            "num_layers": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "enc_hidden_dim": 20,
            "selected_layer_index": (0, 1),
            "axes_dims_rope": (8, 12, 12),
        },
        channels=128,
        patch=1,
        sides=(5, 7),
        before_text=35,
        before_image=0,
        extra={"attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 0]])},
    ),
    "Ideogram 4": Row(
        "Ideogram4",
        {
            "num_layers": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "intermediate_size": 96,
            "adaln_dim": 32,
            "llm_features_dim": 40,
            "mrope_section": (8, 4, 4),
        },
        channels=128,
        patch=1,
        sides=(5, 7),
    ),
    "OmniGen 2": Row(
        "Omnigen2",
        {
            "hidden_size": 64,
            "num_layers": 4,
            "num_refiner_layers": 1,
            "num_attention_heads": 2,
            "num_kv_heads": 1,
            "axes_dim_rope": (8, 12, 12),
            "axes_lens": (64, 64, 64),
            "text_feat_dim": 40,
            "multiple_of": 16,
        },
        before_image=TEXTS + 12,
        extra={
            "attention_mask": torch.ones(1, TEXTS, dtype=torch.long),
            "reference_latents": [torch.ones(1, 16, 6, 8)],
        },
    ),
    "Boogu": Row(
        "Boogu",
        {
            "hidden_size": 64,
            "num_layers": 4,
            "num_double_stream_layers": 2,
            "num_refiner_layers": 1,
            "num_attention_heads": 2,
            "num_kv_heads": 1,
            "axes_dim_rope": (8, 12, 12),
            "axes_lens": (64, 64, 64),
            "instruction_feat_dim": 40,
            "multiple_of": 16,
        },
        extra={"attention_mask": torch.ones(1, TEXTS, dtype=torch.long)},
    ),
    "PixelDiT": Row(
        "PixelDiTT2I",
        {
            "in_channels": 3,
            "hidden_size": 64,
            "num_groups": 2,
            "patch_depth": 4,
            "pixel_depth": 1,
            "pixel_hidden_size": 16,
            "txt_embed_dim": 40,
            "txt_max_length": 32,
        },
        channels=3,
        patch=16,
        sides=(80, 112),
    ),
}
