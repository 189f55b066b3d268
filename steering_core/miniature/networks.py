"""The miniatures' networks: Stable Diffusion's and FLUX's own classes, only small.

The UNet's widths are multiples of 32 and its GroupNorms have 32 groups, because ComfyUI's UNet
fixes that number. The autoencoder is too narrow for as many: with one channel to a group the norm
erases the channel's mean, and the colour of a plain background with it.
"""

from __future__ import annotations

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerBase, T5Config, T5EncoderModel

from .world import IMAGE_SIZE

#: Pixels per latent position along one side.
VAE_FACTOR = 8
LATENT_SIZE = IMAGE_SIZE // VAE_FACTOR
LATENT_CHANNELS = 4
#: Tokens of a prompt, with start, end and padding: CLIP's own.
CONTEXT_LENGTH = 77
_TEXT_WIDTH = 128
#: Tokens of a prompt for the T5 encoder, with end and padding: room for the longest caption.
T5_LENGTH = 32
#: Side of a token of the transformer, in positions of the latent.
PATCH = 2


def build_autoencoder() -> AutoencoderKL:
    """Pictures (batch, 3, 128, 128) in [-1, 1] to latents (batch, 4, 16, 16) and back."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
    )


def build_unet() -> UNet2DConditionModel:
    """The denoiser: cross-attention at 16×16, at 8×8 and in the middle, two heads each."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=_TEXT_WIDTH,
        attention_head_dim=2,  # diffusers reads this as the number of heads
        norm_num_groups=32,
    )


def build_text_encoder(tokenizer: PreTrainedTokenizerBase) -> CLIPTextModel:
    """A two-layer CLIP text model with the tokenizer's own vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_TEXT_WIDTH,
            intermediate_size=2 * _TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT_LENGTH,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule with velocity prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def build_pipeline(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: PreTrainedTokenizerBase,
    autoencoder: AutoencoderKL,
) -> StableDiffusionPipeline:
    """The first miniature's pipeline of these parts; it shows no progress and checks no pictures."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def build_transformer() -> FluxTransformer2DModel:
    """The denoiser of FLUX's shape: 8×8 image tokens, four heads of 48 numbers in each block.

    Modulations and the output start at zero, so that each block begins as the identity (adaLN-Zero,
    Peebles & Xie 2023), which diffusers leaves to whoever trains.
    """
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=LATENT_CHANNELS * PATCH**2,
        num_layers=3,
        num_single_layers=4,
        attention_head_dim=48,
        num_attention_heads=4,
        joint_attention_dim=_TEXT_WIDTH,
        pooled_projection_dim=_TEXT_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 20, 20),
    )
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    modulations = [block.norm.linear for block in transformer.single_transformer_blocks]
    for block in transformer.transformer_blocks:
        modulations += [block.norm1.linear, block.norm1_context.linear]
    for linear in (*modulations, transformer.norm_out.linear, transformer.proj_out):
        nn.init.zeros_(linear.weight)
    return transformer


def build_t5_encoder(tokenizer: PreTrainedTokenizerBase) -> T5EncoderModel:
    """A three-layer T5 encoder (version 1.1's gated layers) with the tokenizer's own vocabulary."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=_TEXT_WIDTH,
            d_kv=32,
            d_ff=2 * _TEXT_WIDTH,
            num_layers=3,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
            use_cache=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def build_flow_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX schnell's rectified flow: sigmas evenly from 1 to 0, which suits small pictures."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)
