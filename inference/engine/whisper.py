"""A Whisper: what it hears in a window of sound, what it writes of it, and the marks that it knows.

Its vocabulary ends with marks of time, every fiftieth of a second; before them are tokens for languages,
tasks and silence. Knows nothing of sounds that are longer than a window, and of what is made of the text.
Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from inference.engine.failures import in_our_words
from inference.errors import InvalidRequest, Unsupported

HUNDREDTHS = 100
# Tokens after which it is looked whether anybody still waits.
PULSE = 16

OnPulse = Callable[[], None]


@dataclass(frozen=True)
class Window:
    """A stretch of sound as the model hears it: encoded, ``length`` hundredths of a second of it, and the
    logits of the first token, which tell the language and whether anybody speaks."""

    sound: Tensor
    length: int
    first: Tensor


@dataclass(frozen=True)
class Attempt:
    """What the model wrote of a window, at a temperature, and the mean logarithm of its probability."""

    tokens: tuple[int, ...]
    temperature: float
    logprob: float


class Whisper:
    """``model``, whose ``processor`` makes sounds into frames and tokens into text."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._features, self._tokenizer = processor.feature_extractor, processor.tokenizer
        self._known = known = model.generation_config
        self._languages: dict[str, int] = getattr(known, "lang_to_id", None) or {}
        self._speaks_many = bool(self._languages) and bool(getattr(known, "is_multilingual", True))
        untimed = getattr(known, "no_timestamps_token_id", None)
        self.timed = untimed is not None
        # Behind the token that says that there are no marks come the marks; before it, the one for silence.
        self.first_mark: int = untimed + 1 if untimed is not None else model.config.vocab_size
        self._silent: int | None = untimed - 1 if untimed is not None else None

    @property
    def rate(self) -> int:
        """Samples of a second."""
        rate: int = self._features.sampling_rate
        return rate

    @property
    def most(self) -> int:
        """Samples of a whole window."""
        samples: int = self._features.n_samples
        return samples

    @torch.inference_mode()
    def hear(self, samples: numpy.ndarray) -> Window:
        """The window of ``samples``, padded with silence."""
        frames = self._features(samples, sampling_rate=self.rate, return_tensors="pt")
        with in_our_words():
            encode = self._model.get_encoder()
            sound = encode(frames.input_features.to(self._model.device, self._model.dtype)).last_hidden_state
            start = torch.tensor([[self._known.decoder_start_token_id]], device=sound.device)
            output = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=sound),
                decoder_input_ids=start,
                use_cache=False,
            )
        length = math.ceil(len(samples) * HUNDREDTHS / self.rate)
        return Window(sound, length, output.logits[0, -1].float())

    @torch.inference_mode()
    def write(self, window: Window, prompt: list[int], temperature: float, on_pulse: OnPulse) -> Attempt:
        """What is said in ``window``, after ``prompt``. What ``on_pulse`` raises every few tokens ends it."""
        given = torch.tensor([prompt], device=window.sound.device)
        with in_our_words(), torch.random.fork_rng(enabled=temperature > 0):
            # The same sound is the same text, also where lots are drawn.
            torch.manual_seed(len(prompt))
            written = self._model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=window.sound),
                decoder_input_ids=given,
                return_timestamps=self.timed,
                force_unique_generate_call=True,
                return_dict_in_generate=True,
                output_scores=True,
                temperature=temperature,
                top_k=0,
                stopping_criteria=StoppingCriteriaList([_Pulse(on_pulse, len(prompt))]),
                **({"language": "en", "task": "transcribe"} if self._speaks_many else {}),
            )
        ids = written.sequences[0].tolist()[-len(written.scores) :] if written.scores else []
        # Scores are of the tokens that may be written, and divided by the temperature.
        probable = [
            float((scores[0].float() * (temperature or 1)).log_softmax(dim=-1)[token])
            for token, scores in zip(ids, written.scores, strict=True)
        ]
        kept = tuple(token for token in ids if token != self._known.eos_token_id)
        return Attempt(kept, temperature, sum(probable) / max(len(probable), 1))

    def text(self, tokens: Sequence[int]) -> str:
        """The text of ``tokens``, without marks."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def silence(self, window: Window) -> float:
        """How probable it is that nobody speaks; 0 where the model cannot tell."""
        return float(window.first.softmax(dim=-1)[self._silent]) if self._silent is not None else 0.0

    def language(self, window: Window) -> str:
        """The mark of the likeliest language, ``<|en|>``; empty where the model knows one only."""
        return max(self._languages, key=lambda mark: float(window.first[self._languages[mark]]), default="")

    def language_named(self, name: str, *, translate: bool) -> str:
        """The mark of a language by its code or its English ``name``; empty where none is asked for.

        ``InvalidRequest`` for one that the model does not know, ``Unsupported`` if it cannot ``translate``.
        """
        if translate and not self._speaks_many:
            raise Unsupported("This model writes English only; it cannot translate.")
        wanted = name.strip().lower()
        codes = {language: code for code, language in LANGUAGES.items()}
        code = codes.get(wanted, wanted)
        if not wanted or (not self._speaks_many and code == "en"):
            return ""
        if f"<|{code}|>" not in self._languages:
            raise InvalidRequest(f"This model does not know the language '{name[:64]}'.")
        return f"<|{code}|>"

    def name_of(self, language: str) -> str:
        """The English name of a language, by its mark."""
        return LANGUAGES.get(language.strip("<|>"), "english" if not self._speaks_many else "")

    def hint(self, prompt: str) -> list[int]:
        """``prompt`` as what stands before: its end, at most half of the room for text."""
        if not prompt.strip():
            return []
        try:
            start, *ids = self._tokenizer.get_prompt_ids(prompt).tolist()
        except ValueError as error:
            raise InvalidRequest("The prompt holds a control token. Leave it out.") from error
        return [start, *ids[-(self._model.config.max_target_positions // 2 - 1) :]]

    def beginning(self, language: str, *, translate: bool) -> list[int]:
        """The tokens that tell the model what to write."""
        start = [self._known.decoder_start_token_id]
        if not self._speaks_many:
            return start
        task = self._known.task_to_id["translate" if translate else "transcribe"]
        return [*start, self._languages[language], task]


class _Pulse(StoppingCriteria):
    """Calls ``on_pulse`` every few tokens: it raises where nobody waits any more."""

    def __init__(self, on_pulse: OnPulse, prompt: int) -> None:
        self._on_pulse, self._prompt = on_pulse, prompt

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if (input_ids.shape[1] - self._prompt) % PULSE == 0:
            self._on_pulse()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
