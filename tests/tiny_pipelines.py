"""Tiny image pipelines, made on the spot: real files, real code, random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    QwenImageEditPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from inference.engine.processors import load_processor
from tests.tiny import tiny_tokenizer
from tests.tiny_vision import make_tiny_vision

SIDE = 32


def make_tiny_sd(folder: Path, *, channels: int = 4) -> Path:
    """A Stable Diffusion 1.x of 32 × 32 pixels; with 9 ``channels`` one that only fills in."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
    )
    StableDiffusionPipeline(
        unet=unet,
        vae=_vae(latents=4),
        text_encoder=_clip(folder),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            skip_prk_steps=True,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def make_tiny_flux(folder: Path) -> Path:
    """A FLUX of two blocks."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    words = tiny_tokenizer()
    t5 = T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latents=1, shift_factor=0.1),
        text_encoder=_clip(folder),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder_2=T5EncoderModel(t5).eval(),
        tokenizer_2=words,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def make_tiny_qwen_image(folder: Path, seeing: Path, *, edits: bool = False) -> Path:
    """A Qwen-Image, or a Qwen-Image-Edit, that reads prompts with a tiny model made in ``seeing``."""
    make_tiny_vision("qwen2_5_vl", seeing)
    processor = load_processor(seeing)
    reader = Qwen2_5_VLForConditionalGeneration.from_pretrained(seeing)
    torch.manual_seed(0)
    parts = {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2, 4, 4],
            num_res_blocks=1,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        "text_encoder": reader,
        "tokenizer": processor.tokenizer,
        "transformer": QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=reader.config.text_config.hidden_size,
            axes_dims_rope=(8, 4, 4),
        ),
    }
    pipeline = QwenImageEditPipeline(**parts, processor=processor) if edits else QwenImagePipeline(**parts)
    pipeline.save_pretrained(folder)
    return folder


def _vae(*, latents: int, **more: float) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=SIDE,
        latent_channels=latents,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **more,
    ).eval()


def _clip(folder: Path) -> CLIPTextModel:
    """A text encoder; its tokenizer, which knows single letters, is written to ``folder``."""
    letters = [*map(chr, range(33, 127))]
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "vocab.json").write_text(json.dumps({entry: place for place, entry in enumerate(entries)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    (tokenizer / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(entries),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            projection_dim=16,
            bos_token_id=len(entries) - 2,
            eos_token_id=len(entries) - 1,
            pad_token_id=len(entries) - 1,
        )
    ).eval()
