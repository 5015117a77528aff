"""Tiny image pipelines, made on the spot: real files, real code, random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    QwenImageEditPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
)

from inference.engine.processors import load_processor
from tests.tiny import tiny_tokenizer
from tests.tiny_vision import make_tiny_vision

SIDE = 32

Made = TypeVar("Made", bound=torch.nn.Module)


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


def make_tiny_flux(folder: Path, kind: type[DiffusionPipeline] = FluxPipeline) -> Path:
    """A FLUX of two blocks, or a Kontext, which is made of the same parts."""
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
    kind(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latents=1, shift_factor=0.1),
        text_encoder=_clip(folder),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder_2=T5EncoderModel(t5).eval(),
        tokenizer_2=words,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def make_tiny_qwen_image(
    folder: Path, seeing: Path, *, edits: bool = False, kind: type[DiffusionPipeline] = QwenImageEditPipeline
) -> Path:
    """A Qwen-Image, or one that ``edits``, that reads prompts with a tiny model made in ``seeing``."""
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
    pipeline = kind(**parts, processor=processor) if edits else QwenImagePipeline(**parts)
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


def make_tiny_sd3(folder: Path) -> Path:
    """A Stable Diffusion 3 of one block."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=32,
    )
    words = tiny_tokenizer()
    t5 = T5Config(vocab_size=len(words), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    clip = CLIPTextModelWithProjection(_clip(folder).config).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latents=4, shift_factor=0.1),
        text_encoder=clip,
        tokenizer=tokenizer,
        text_encoder_2=clip,
        tokenizer_2=tokenizer,
        text_encoder_3=T5EncoderModel(t5).eval(),
        tokenizer_3=words,
    ).save_pretrained(folder)
    return folder


def make_tiny_flux2(folder: Path) -> Path:
    """A FLUX.2 klein: its prompts are read by a Qwen 3, of which it takes what three layers say."""
    torch.manual_seed(0)
    words = tiny_tokenizer()
    reader = Qwen3Config(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=28,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLFlux2(
            sample_size=SIDE,
            latent_channels=4,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ).eval(),
        text_encoder=Qwen3ForCausalLM(reader).eval(),
        tokenizer=words,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def make_sd(folder: Path, side: int = 256) -> Path:
    """A Stable Diffusion of 256 × 256 pixels and about 340 MB in bfloat16, with random weights."""
    StableDiffusionPipeline(
        unet=random_weights(lambda: _unet(side)),
        vae=_large_vae(4, side),
        text_encoder=_clip(folder),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=PNDMScheduler(skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def make_flux(folder: Path) -> Path:
    """A FLUX of about 450 MB in bfloat16, with random weights."""
    transformer = random_weights(
        lambda: FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=2,
            num_single_layers=4,
            attention_head_dim=128,
            num_attention_heads=8,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(16, 56, 56),
            guidance_embeds=True,
        )
    )
    words = tiny_tokenizer()
    t5 = T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_large_vae(16, 1024, shift_factor=0.1),
        text_encoder=_clip(folder),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder_2=T5EncoderModel(t5).eval(),
        tokenizer_2=words,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def make_qwen_image(folder: Path) -> Path:
    """A Qwen-Image of about 480 MB in bfloat16; its decoder is as large as a real one."""
    seeing = make_tiny_vision("qwen2_5_vl", folder / "seeing")
    reader = Qwen2_5_VLForConditionalGeneration.from_pretrained(seeing)
    QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=random_weights(lambda: AutoencoderKLQwenImage(base_dim=96, z_dim=16)),
        text_encoder=reader,
        tokenizer=load_processor(seeing).tokenizer,
        transformer=random_weights(
            lambda: QwenImageTransformer2DModel(
                patch_size=2,
                in_channels=64,
                out_channels=16,
                num_layers=3,
                attention_head_dim=128,
                num_attention_heads=8,
                joint_attention_dim=reader.config.text_config.hidden_size,
                axes_dims_rope=(16, 56, 56),
            )
        ),
    ).save_pretrained(folder)
    shutil.rmtree(seeing)
    return folder


def _unet(side: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=side // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=8,
    )


def _large_vae(latents: int, side: int, **more: float) -> AutoencoderKL:
    """As large as the real ones of Stable Diffusion and FLUX."""
    return random_weights(
        lambda: AutoencoderKL(
            sample_size=side,
            latent_channels=latents,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            **more,
        )
    )


def random_weights(make: Callable[[], Made]) -> Made:
    """What ``make`` makes, in bfloat16, its weights random: filled in without the libraries' slow drawing."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = make()
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    return model.eval()
