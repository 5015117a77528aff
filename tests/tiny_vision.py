"""Tiny models that see, one of each family: real files and code, random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlavaProcessor,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2_5OmniForConditionalGeneration,
    Qwen2_5OmniProcessor,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen3VLProcessor,
    SiglipImageProcessorPil,
    SmolVLMImageProcessorPil,
    SmolVLMProcessor,
    WhisperFeatureExtractor,
)

from inference.engine.processors import NoVideos, without_videos
from tests.tiny import tiny_tokenizer

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'audio' %}AUDIO"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "initializer_range": 0.3,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
QWEN_SIZES = {"size": {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}, "patch_size": 8, "merge_size": 2}
QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_token": "<|AUDIO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
IDEFICS_TOKENS = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "end_of_utterance_token": "<end_of_utterance>",
    "global_image_token": "<global-img>",
}


def seeing_tokenizer(tokens: dict[str, str], template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    """The tiny tokenizer with special tokens that stand for pictures and sounds."""
    tokenizer = tiny_tokenizer()
    added = [AddedToken(text, normalized=False, special=True) for text in tokens.values()]
    tokenizer.add_special_tokens({"additional_special_tokens": added})
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=tokens,
    )


def save(folder: Path, processor: Any, config: dict[str, Any], kind: str) -> Path:
    """Make a model of ``kind`` with random weights, and save it with its processor."""
    tokenizer = processor.tokenizer
    text = config.pop("text_config")
    text |= {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    made = AutoConfig.for_model(kind, text_config=text, **config)
    made.eos_token_id = tokenizer.eos_token_id
    model = AutoModelForImageTextToText.from_config(made, dtype=torch.float32)
    shake(model, tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def shake(model: Any, tokenizer: Any) -> None:
    """Weights so random that pictures matter, and no control token is ever the likeliest."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.3)
    # Small next to the pictures, which the last tokens see only by attention.
    model.get_input_embeddings().weight.data.mul_(0.1)
    model.get_output_embeddings().weight.data[tokenizer.all_special_ids] = 0.0


def llava(folder: Path) -> Path:
    tokenizer = seeing_tokenizer({"image_token": "<image>"}, TEMPLATE.replace("IMAGE", "<image>"))
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    config = {
        "text_config": {"model_type": "llama"} | TEXT,
        "vision_config": {"model_type": "clip_vision_model", "projection_dim": 32} | TOWER,
        "image_token_index": processor.image_token_id,
        "image_seq_length": 16,
        "vision_feature_select_strategy": "default",
    }
    processor.num_additional_image_tokens = 1
    processor.vision_feature_select_strategy = "default"
    return save(folder, processor, config, "llava")


def idefics3(folder: Path) -> Path:
    tokenizer = seeing_tokenizer(IDEFICS_TOKENS, TEMPLATE.replace("IMAGE", "<image>"))
    pictures = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=tokenizer.chat_template)
    config = {
        "text_config": {"model_type": "llama"} | TEXT,
        "vision_config": TOWER,
        "scale_factor": 2,
        "image_token_id": processor.image_token_id,
    }
    return save(folder, processor, config, "idefics3")


def smolvlm(folder: Path) -> Path:
    tokenizer = seeing_tokenizer(IDEFICS_TOKENS, TEMPLATE.replace("IMAGE", "<image>"))
    pictures = SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = SmolVLMProcessor(
        pictures, tokenizer, NoVideos(), image_seq_len=4, chat_template=tokenizer.chat_template
    )
    config = {
        "text_config": {"model_type": "llama"} | TEXT,
        "vision_config": TOWER,
        "scale_factor": 2,
        "image_token_id": processor.image_token_id,
    }
    return save(folder, processor, config, "smolvlm")


def gemma3(folder: Path) -> Path:
    """With a sliding window that is shorter than its pictures are long."""
    tokens = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = seeing_tokenizer(tokens, TEMPLATE.replace("IMAGE", "<start_of_image>"))
    pictures = Gemma3ImageProcessorPil(size={"height": 32, "width": 32}, do_pan_and_scan=False)
    processor = Gemma3Processor(pictures, tokenizer, tokenizer.chat_template, image_seq_length=16)
    config = {
        "text_config": TEXT
        | {
            "sliding_window": 12,
            "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "vision_config": TOWER,
        "mm_tokens_per_image": 16,
        "boi_token_index": tokenizer.boi_token_id,
        "eoi_token_index": tokenizer.eoi_token_id,
        "image_token_index": tokenizer.image_token_id,
    }
    return save(folder, processor, config, "gemma3")


def paligemma(folder: Path) -> Path:
    """Its prompt is read in both directions, and it has no chat template."""
    tokenizer = seeing_tokenizer({"image_token": "<image>"})
    tokenizer.chat_template = None
    pictures = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    pictures.image_seq_length = 16
    processor = PaliGemmaProcessor(pictures, tokenizer)
    config = {
        "text_config": {"model_type": "gemma"} | TEXT,
        "vision_config": {"model_type": "siglip_vision_model", "projection_dim": 64, "vision_use_head": False}
        | TOWER,
        "image_token_index": processor.image_token_id,
        "projection_dim": 64,
        "hidden_size": 64,
    }
    return save(folder, processor, config, "paligemma")


def qwen(folder: Path, kind: str, processor_class: Any, text: dict[str, Any], vision: dict[str, Any]) -> Path:
    template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    tokenizer = seeing_tokenizer(QWEN_TOKENS, template)
    processor = processor_class(
        Qwen2VLImageProcessorPil(**QWEN_SIZES), tokenizer, NoVideos(), chat_template=template
    )
    config = {
        "text_config": TEXT | {"rope_parameters": MROPE} | text,
        "vision_config": {"depth": 2, "num_heads": 2, "patch_size": 8, "initializer_range": 0.3} | vision,
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "vision_start_token_id": tokenizer.vision_bos_token_id,
        "vision_end_token_id": tokenizer.vision_eos_token_id,
    }
    return save(folder, processor, config, kind)


def qwen2_vl(folder: Path) -> Path:
    return qwen(
        folder, "qwen2_vl", Qwen2VLProcessor, {}, {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2}
    )


WINDOWED = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64, "window_size": 32}


def qwen2_5_vl(folder: Path) -> Path:
    vision = WINDOWED | {"fullatt_block_indexes": [1]}
    return qwen(folder, "qwen2_5_vl", Qwen2_5_VLProcessor, {}, vision)


def qwen3_vl(folder: Path) -> Path:
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    text = {"rope_parameters": MROPE | {"mrope_interleaved": True}}
    return qwen(folder, "qwen3_vl", Qwen3VLProcessor, text, vision)


def qwen2_5_omni(folder: Path) -> Path:
    """The whole model with its talker, as it comes from the Hub; but without ``spk_dict.pt``."""
    template = TEMPLATE.replace("IMAGE", "<|vision_bos|><|IMAGE|><|vision_eos|>").replace(
        "AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>", 1
    )
    tokens = QWEN_TOKENS | {
        "image_token": "<|IMAGE|>",
        "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
    }
    tokenizer = seeing_tokenizer(tokens, template)
    processor = Qwen2_5OmniProcessor(
        Qwen2VLImageProcessorPil(**QWEN_SIZES),
        NoVideos(),
        WhisperFeatureExtractor(feature_size=16, chunk_length=4, return_attention_mask=True),
        tokenizer,
        chat_template=template,
    )
    ids = {
        "audio_token_index": tokenizer.audio_token_id,
        "image_token_index": tokenizer.image_token_id,
        "video_token_index": tokenizer.video_token_id,
        "audio_start_token_id": tokenizer.audio_bos_token_id,
        "audio_end_token_id": tokenizer.audio_eos_token_id,
        "vision_start_token_id": tokenizer.vision_bos_token_id,
        "vision_end_token_id": tokenizer.vision_eos_token_id,
    }
    thinker = ids | {
        "text_config": TEXT | {"vocab_size": len(tokenizer), "rope_parameters": MROPE},
        "vision_config": WINDOWED
        | {"depth": 2, "num_heads": 2, "patch_size": 8, "fullatt_block_indexes": [1]},
        "audio_config": {
            "num_mel_bins": 16,
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "output_dim": 64,
            "max_source_positions": 200,
            "n_window": 20,
        },
    }
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    talker = small | {"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 64, "embedding_size": 64}
    vocoder = {
        "dit_config": {
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "ff_mult": 1,
            "emb_dim": 16,
            "head_dim": 16,
            "num_embeds": 16,
            "mel_dim": 8,
            "block_size": 4,
            "look_ahead_layers": [0],
            "look_backward_layers": [0],
            "enc_dim": 8,
            "enc_emb_dim": 8,
            "enc_channels": [8, 8, 8, 8, 24],
            "enc_kernel_sizes": [5, 3, 3, 3, 1],
            "enc_dilations": [1, 2, 3, 4, 1],
            "enc_attention_channels": 4,
            "enc_res2net_scale": 2,
            "enc_se_channels": 4,
        },
        "bigvgan_config": {
            "mel_dim": 8,
            "upsample_initial_channel": 8,
            "upsample_rates": [2, 2],
            "upsample_kernel_sizes": [4, 4],
            "resblock_kernel_sizes": [3],
            "resblock_dilation_sizes": [[1, 3, 5]],
        },
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen2_5_omni",
        thinker_config=thinker,
        talker_config=talker,
        token2wav_config=vocoder,
        enable_audio_output=True,
    )
    model = Qwen2_5OmniForConditionalGeneration._from_config(config, dtype=torch.float32)
    shake(model.thinker, tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava": llava,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "gemma3": gemma3,
    "paligemma": paligemma,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "qwen2_5_omni": qwen2_5_omni,
}


def noise(width: int, height: int, seed: int) -> Image.Image:
    """A picture of coloured noise: no two are alike."""
    pixels = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    return Image.fromarray(pixels)


def make_tiny_vision(family: str, folder: Path) -> Path:
    """The tiny model of ``family``, saved to ``folder``."""
    with without_videos():
        return FAMILIES[family](folder)
