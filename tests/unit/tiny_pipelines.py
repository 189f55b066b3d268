"""Pipelines of every kind that the diffusers backend has a row for, at a size for tests and with random weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from toys import PROMPT

from steering_core.backends.diffusers import steered
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.steering import Steering

#: Of the pictures, in pixels.
HEIGHT, WIDTH = 48, 64
_TEXTS = [PROMPT, "a dog and a cat", "a teddy bear to the left of a dog", "user assistant system describe the image"]
_CHAT = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|image_pad|>", "<think>", "</think>"]
#: As Qwen 3's: a message a turn, and an empty thought where none is wanted.
_QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if not enable_thinking %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
#: Of its encoder of pictures, which no prompt here has.
_QWEN_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
_MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}[SYSTEM_PROMPT]"
    "{{ message.content[0].text }}[/SYSTEM_PROMPT]{% else %}[INST]{{ message.content[0].text }}[/INST]{% endif %}"
    "{% endfor %}"
)


def bytes_tokenizer(special: list[str], template: str, **options: Any) -> transformers.PreTrainedTokenizerFast:
    """As Qwen's and Mistral's: pieces of bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(_TEXTS * 3, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=template, model_max_length=2048, **options
    )


def qwen_tokenizer() -> transformers.PreTrainedTokenizerFast:
    return bytes_tokenizer(_CHAT, _QWEN_TEMPLATE, pad_token="<|endoftext|>", eos_token="<|im_end|>")


def mistral_tokenizer() -> transformers.PreTrainedTokenizerFast:
    special = ["<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "padding_side": "left"}
    tokenizer = bytes_tokenizer(special, _MISTRAL_TEMPLATE, **names)
    # Mistral's puts its first token before every text that does not bring it.
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


def t5_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """As T5's: pieces with a mark for the space before them, and an end."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>")
    tokenizer.train_from_iterator(_TEXTS * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def clip(tokenizer: Any, kind: type = transformers.CLIPTextModel, **options: Any) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )
    return kind(config).eval()


def t5(tokenizer: Any) -> transformers.T5EncoderModel:
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4, dropout_rate=0.0
    )
    return transformers.T5EncoderModel(config).eval()


def _decoder(tokenizer: Any, layers: int, **options: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **options,
    }


def qwen3(tokenizer: Any, layers: int) -> transformers.Qwen3Model:
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_decoder(tokenizer, layers))).eval()


def autoencoder(kind: type = diffusers.AutoencoderKL, **options: Any) -> Any:
    """Whose latents have a quarter of the picture's sides."""
    return kind(
        **{
            "block_out_channels": (4, 4, 4),
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "layers_per_block": 1,
            "norm_num_groups": 1,
            "latent_channels": 4,
            **options,
        }
    )


def qwen_autoencoder() -> diffusers.AutoencoderKLQwenImage:
    return diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )


def flow(**options: Any) -> diffusers.FlowMatchEulerDiscreteScheduler:
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def _sdxl(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 32),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip(clip_tokenizer),
        text_encoder_2=clip(clip_tokenizer, transformers.CLIPTextModelWithProjection),
        tokenizer=clip_tokenizer,
        tokenizer_2=clip_tokenizer,
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_end=0.012, beta_start=0.00085),
        add_watermarker=False,
    )


def _sd3(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = t5_tokenizer()
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=32,
        # As in 3.5 medium: a second attention, of the image alone.
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    projected = transformers.CLIPTextModelWithProjection
    encoder = t5(tokenizer)
    encoder = transformers.T5EncoderModel(
        transformers.T5Config(**{**encoder.config.to_dict(), "d_model": 64, "d_kv": 16})
    ).eval()
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=flow(shift=3.0),
        vae=autoencoder(shift_factor=0.1, latent_channels=16),
        text_encoder=clip(clip_tokenizer, projected),
        tokenizer=clip_tokenizer,
        text_encoder_2=clip(clip_tokenizer, projected),
        tokenizer_2=clip_tokenizer,
        text_encoder_3=encoder,
        tokenizer_3=tokenizer,
    )


def flux_transformer(**options: Any) -> diffusers.FluxTransformer2DModel:
    return diffusers.FluxTransformer2DModel(
        **{
            "in_channels": 16,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "axes_dims_rope": (4, 4, 8),
            **options,
        }
    )


def _flux(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = t5_tokenizer()
    return diffusers.FluxPipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(shift_factor=0.1),
        text_encoder=clip(clip_tokenizer),
        tokenizer=clip_tokenizer,
        text_encoder_2=t5(tokenizer),
        tokenizer_2=tokenizer,
        transformer=flux_transformer(guidance_embeds=True),
    )


def flux2_transformer(text: int, **options: Any) -> diffusers.Flux2Transformer2DModel:
    return diffusers.Flux2Transformer2DModel(
        **{
            "in_channels": 16,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": text,
            "timestep_guidance_channels": 16,
            "axes_dims_rope": (4, 4, 4, 4),
            **options,
        }
    )


def _flux2_dev(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = mistral_tokenizer()
    text = transformers.MistralConfig(**_decoder(tokenizer, 31))
    vision = transformers.PixtralVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    config = transformers.Mistral3Config(text_config=text, vision_config=vision, image_token_index=2)
    return diffusers.Flux2Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(diffusers.AutoencoderKLFlux2),
        text_encoder=transformers.Mistral3ForConditionalGeneration(config).eval(),
        tokenizer=tokenizer,
        transformer=flux2_transformer(3 * 16, guidance_embeds=True),
    )


def _flux2_klein(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = qwen_tokenizer()
    return diffusers.Flux2KleinPipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(diffusers.AutoencoderKLFlux2),
        text_encoder=qwen3(tokenizer, 28),
        tokenizer=tokenizer,
        transformer=flux2_transformer(3 * 16, guidance_embeds=False),
    )


def _z_image(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = qwen_tokenizer()
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=4,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 4, 8],
        axes_lens=[256, 32, 32],
    )
    # These begin as they were allocated.
    torch.nn.init.normal_(transformer.x_pad_token)
    torch.nn.init.normal_(transformer.cap_pad_token)
    return diffusers.ZImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(shift_factor=0.1),
        text_encoder=qwen3(tokenizer, 2),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _qwen_image(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = qwen_tokenizer()
    text = _decoder(tokenizer, 2, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]})
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=_QWEN_VISION, image_token_id=3)
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    return diffusers.QwenImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=qwen_autoencoder(),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _krea_2(clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    tokenizer = qwen_tokenizer()
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    text = _decoder(tokenizer, 2, rope_scaling=rope)
    config = transformers.Qwen3VLConfig(
        text_config=text, vision_config={**_QWEN_VISION, "deepstack_visual_indexes": []}, image_token_id=3
    )
    transformer = diffusers.Krea2Transformer2DModel(
        in_channels=16,
        num_layers=4,
        attention_head_dim=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        timestep_embed_dim=16,
        text_hidden_dim=16,
        num_text_layers=2,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=16,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 4, 8),
    )
    return diffusers.Krea2Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=qwen_autoencoder(),
        text_encoder=transformers.Qwen3VLModel(config).eval(),
        tokenizer=tokenizer,
        transformer=transformer,
        text_encoder_select_layers=(1, 2),
    )


#: By name a pipeline, made from a tokenizer of CLIP's kind.
TINY: dict[str, Callable[[Any], diffusers.DiffusionPipeline]] = {
    "SDXL": _sdxl,
    "SD 3": _sd3,
    "FLUX.1": _flux,
    "FLUX.2 dev": _flux2_dev,
    "FLUX.2 klein": _flux2_klein,
    "Z-Image": _z_image,
    "Qwen-Image": _qwen_image,
    "Krea 2": _krea_2,
}


def tiny(name: str, clip_tokenizer: Any) -> diffusers.DiffusionPipeline:
    """With the same random weights each time."""
    torch.manual_seed(0)
    pipeline = TINY[name](clip_tokenizer)
    # Output layers that begin at zero would leave nothing to compare.
    for parameter in kind_of(pipeline).network_of(pipeline).parameters():
        if parameter.dim() and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(
    pipeline: diffusers.DiffusionPipeline,
    steering: Steering | None = None,
    steps: int = 2,
    images: int = 2,
    prompt: str = PROMPT,
    guidance: float | None = None,
    **options: Any,
) -> torch.Tensor:
    """Latents of a fixed seed."""
    if guidance is not None:
        # FLUX.1's guidance_scale is a number that the network is given.
        true = kind_of(pipeline).name in ("FLUX.1", "Qwen-Image")
        options |= {"true_cfg_scale": guidance, "negative_prompt": "rain"} if true else {"guidance_scale": guidance}
    torch.manual_seed(0)  # some draw the latent of a control picture without a generator
    with steered(pipeline, steering) if steering else nullcontext():
        return pipeline(
            prompt=prompt,
            num_inference_steps=steps,
            num_images_per_prompt=images,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
            **{"height": HEIGHT, "width": WIDTH, **options},
        ).images
