"""A tiny Whisper that listens to two seconds at a time, and sounds: real files and code, random weights."""

from __future__ import annotations

import io
from pathlib import Path

import numpy
import soundfile
import torch
from tokenizers import AddedToken, pre_tokenizers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

RATE = 16_000
WINDOW = 2
MARKS = [f"<|{number / 50:.2f}|>" for number in range(WINDOW * 50 + 1)]
LANGUAGES = ("en", "de", "fr")
CONTROL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]


def make_tiny_whisper(folder: Path, *, english: bool = False, timed: bool = True) -> Path:
    """A Whisper of one layer on each side, saved to ``folder``. What it writes is noise, but of the sound."""
    torch.manual_seed(0)
    processor = _processor()
    tokenizer = processor.tokenizer
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in CONTROL}
    end = ids["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=16,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=WINDOW * 50,
        max_target_positions=24,
        init_std=0.5,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    model = WhisperForConditionalGeneration(config)
    # So sure of what it writes that it is not tried again.
    model.model.decoder.layer_norm.weight.data.fill_(40.0)
    known = GenerationConfig(
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=config.decoder_start_token_id,
        suppress_tokens=sorted(set(ids.values()) - {end}),
        begin_suppress_tokens=[end],
        max_length=config.max_target_positions,
    )
    if timed:
        known.no_timestamps_token_id = ids["<|notimestamps|>"]
        known.max_initial_timestamp_index = 20
    if not english:
        known.lang_to_id = {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES}
        known.task_to_id = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    known.is_multilingual = not english
    model.generation_config = known
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _processor() -> WhisperProcessor:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    # Marks of time are no special tokens, as in OpenAI's own.
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    frames = WhisperFeatureExtractor(feature_size=16, chunk_length=WINDOW)
    return WhisperProcessor(frames, tokenizer)


def tone(seconds: float, pitch: float = 440.0, *, kind: str = "WAV", rate: int = RATE) -> bytes:
    """A file with a sound that swells and fades."""
    time = numpy.arange(int(seconds * rate)) / rate
    samples = 0.5 * numpy.sin(2 * numpy.pi * pitch * time) * numpy.sin(numpy.pi * time) ** 2
    file = io.BytesIO()
    soundfile.write(file, samples.astype(numpy.float32), rate, format=kind)
    return file.getvalue()
