"""From the samples of a sound to what is said in it and when, with a Whisper.

The model listens to 30 seconds at a time and writes marks of time between what it understood. Where a
window ends within a sentence, the next one begins at the last mark. Windows that came out badly are
tried again at higher temperatures, and those in which nobody seems to speak are left out. Source:
Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 4.5; the
thresholds are theirs. Runs in the thread of whoever calls; knows nothing of requests that wait.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from inference.engine.failures import in_our_words
from inference.engine.sounds import decode_sound
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import Heard, Reading, Text, Transcribe, Utterance

LONGEST_SOUND = 3600
# A mark of time counts so many seconds; a frame of what the model hears is a hundredth.
MARK_SECONDS = 0.02
HUNDREDTHS = 100
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST_REPETITIVE = 2.4
LEAST_LIKELY = -1.0
SURELY_SILENT = 0.6
# Tokens after which it is looked whether anybody still waits.
PULSE = 16

Tell = Callable[[Text | Reading | Heard], None]


@dataclass(frozen=True)
class Stretch:
    """Tokens of text between two marks, as these count; ``end`` is ``None`` where the window ends it."""

    start: int
    end: int | None
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Attempt:
    """What the model wrote of a window, at a temperature, and the mean logarithm of its probability."""

    tokens: tuple[int, ...]
    temperature: float
    logprob: float


class Transcriber:
    """Listens with ``model``, whose ``processor`` makes sounds into frames and tokens into text."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._features, self._tokenizer = processor.feature_extractor, processor.tokenizer
        known = model.generation_config
        self._languages: dict[str, int] = getattr(known, "lang_to_id", None) or {}
        self._speaks_many = bool(self._languages) and bool(getattr(known, "is_multilingual", True))
        untimed = getattr(known, "no_timestamps_token_id", None)
        self._timed = untimed is not None
        # Behind the token that says that there are no marks come the marks; before it, the one for silence.
        self._first_mark: int = untimed + 1 if untimed is not None else model.config.vocab_size
        self._silent: int | None = untimed - 1 if untimed is not None else None
        self.windows = 0

    def transcribe(self, request: Transcribe, tell: Tell) -> int:
        """Tell what is said, and how far it is; tokens written.

        What ``tell`` raises ends it. ``InvalidRequest`` for what is no sound, and for an unknown language.
        """
        language = self._language(request)
        hint = self._hint(request.prompt)
        rate: int = self._features.sampling_rate
        samples = decode_sound(request.sound, rate, LONGEST_SOUND)
        total, place, written = len(samples) * HUNDREDTHS // rate, 0, 0
        utterances: list[Utterance] = []
        while place < max(total, 1):
            on_pulse = partial(tell, Reading(done=place, total=total))
            on_pulse()
            window = samples[place * rate // HUNDREDTHS :][: self._features.n_samples]
            found, heard, ahead = self._window(window, place, language, hint, request, on_pulse)
            language = language or found
            for utterance in heard:
                tell(Text(text=utterance.text, tokens=len(utterance.tokens)))
                written += len(utterance.tokens)
            utterances += heard
            place += ahead
        tell(Reading(done=total, total=total))
        name = LANGUAGES.get(language.strip("<|>"), "english" if not self._speaks_many else "")
        tell(
            Heard(
                language=name, duration=len(samples) / rate, utterances=tuple(utterances), timed=self._timed
            )
        )
        return written

    @torch.inference_mode()
    def _window(
        self,
        samples: numpy.ndarray,
        place: int,
        language: str,
        hint: Sequence[int],
        request: Transcribe,
        on_pulse: Callable[[], None],
    ) -> tuple[str, list[Utterance], int]:
        """The language of a window, what is said in it, and how far to go on, in hundredths of a second."""
        self.windows += 1
        frames = self._features(samples, sampling_rate=self._features.sampling_rate, return_tensors="pt")
        with in_our_words():
            sound = self._model.get_encoder()(frames.input_features.to(self._model.device, self._model.dtype))
            first = self._first_logits(sound.last_hidden_state)
        language = language or self._likeliest(first)
        silence = float(first.softmax(dim=-1)[self._silent]) if self._silent is not None else 0.0
        length = math.ceil(len(samples) * HUNDREDTHS / self._features.sampling_rate)
        prompt = [*hint, *self._beginning(language, request.translate)]
        best = self._best(sound.last_hidden_state, prompt, request.temperature, on_pulse)
        if silence > SURELY_SILENT and best.logprob < LEAST_LIKELY:
            return language, [], length
        stretches, ahead = stretches_of(best.tokens, self._first_mark)
        seconds = place / HUNDREDTHS
        heard = []
        for stretch in stretches:
            text = self._tokenizer.decode(list(stretch.tokens), skip_special_tokens=True)
            last = length / HUNDREDTHS
            # The model listens to silence behind the end of a short window.
            start = min(stretch.start * MARK_SECONDS, last)
            end = last if stretch.end is None else min(stretch.end * MARK_SECONDS, last)
            if text.strip():
                heard.append(
                    Utterance(
                        start=round(seconds + start, 2),
                        end=round(seconds + end, 2),
                        text=text,
                        tokens=stretch.tokens,
                        seek=place,
                        temperature=best.temperature,
                        logprob=best.logprob,
                        silence=silence,
                    )
                )
        marked = round(ahead * MARK_SECONDS * HUNDREDTHS) if ahead else length
        return language, heard, min(marked, length) or length

    def _best(
        self, sound: Tensor, prompt: list[int], temperature: float, on_pulse: Callable[[], None]
    ) -> Attempt:
        """The first attempt that is neither unlikely nor says the same again and again, or the last."""
        temperatures = [step for step in TEMPERATURES if step >= temperature] or [temperature]
        if temperature not in temperatures:
            temperatures.insert(0, temperature)
        for step in temperatures:
            attempt = self._attempt(sound, prompt, step, on_pulse)
            text = self._tokenizer.decode(list(attempt.tokens), skip_special_tokens=True)
            if attempt.logprob >= LEAST_LIKELY and repetitiveness(text) <= MOST_REPETITIVE:
                break
        return attempt

    def _attempt(
        self, sound: Tensor, prompt: list[int], temperature: float, on_pulse: Callable[[], None]
    ) -> Attempt:
        given = torch.tensor([prompt], device=sound.device)
        with in_our_words(), torch.random.fork_rng(enabled=temperature > 0):
            # The same sound is the same text, also where lots are drawn.
            torch.manual_seed(len(prompt))
            written = self._model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=sound),
                decoder_input_ids=given,
                return_timestamps=self._timed,
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
        end = self._model.generation_config.eos_token_id
        kept = tuple(token for token in ids if token != end)
        return Attempt(kept, temperature, sum(probable) / max(len(probable), 1))

    def _first_logits(self, sound: Tensor) -> Tensor:
        start = torch.tensor([[self._model.generation_config.decoder_start_token_id]], device=sound.device)
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=sound), decoder_input_ids=start, use_cache=False
        )
        logits: Tensor = output.logits[0, -1].float()
        return logits

    def _likeliest(self, logits: Tensor) -> str:
        """The likeliest language by the model's first word."""
        return max(self._languages, key=lambda mark: float(logits[self._languages[mark]]), default="")

    def _language(self, request: Transcribe) -> str:
        """The mark of the language that is asked for, ``<|en|>``; empty where none is."""
        if request.translate and not self._speaks_many:
            raise Unsupported("This model writes English only; it cannot translate.")
        wanted = request.language.strip().lower()
        codes = {name: code for code, name in LANGUAGES.items()}
        code = codes.get(wanted, wanted)
        if not wanted or (not self._speaks_many and code == "en"):
            return ""
        if f"<|{code}|>" not in self._languages:
            raise InvalidRequest(f"This model does not know the language '{request.language[:64]}'.")
        return f"<|{code}|>"

    def _hint(self, prompt: str) -> list[int]:
        """``prompt`` as what stands before: its end, at most half of the room for text."""
        if not prompt.strip():
            return []
        try:
            start, *ids = self._tokenizer.get_prompt_ids(prompt).tolist()
        except ValueError as error:
            raise InvalidRequest("The prompt holds a control token. Leave it out.") from error
        return [start, *ids[-(self._model.config.max_target_positions // 2 - 1) :]]

    def _beginning(self, language: str, translate: bool) -> list[int]:
        """The tokens that tell the model what to write."""
        known = self._model.generation_config
        tokens = [known.decoder_start_token_id]
        if self._speaks_many:
            tokens += [
                self._languages[language],
                known.task_to_id["translate" if translate else "transcribe"],
            ]
        return tokens


class _Pulse(StoppingCriteria):
    """Calls ``on_pulse`` every few tokens: it raises where nobody waits any more."""

    def __init__(self, on_pulse: Callable[[], None], prompt: int) -> None:
        self._on_pulse, self._prompt = on_pulse, prompt

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if (input_ids.shape[1] - self._prompt) % PULSE == 0:
            self._on_pulse()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def stretches_of(tokens: Sequence[int], first_mark: int) -> tuple[list[Stretch], int]:
    """What lies between marks, and the mark where the next window begins; 0 for the end of this one.

    Text behind the last mark belongs to the next window, unless this one holds nothing else.
    """
    found: list[Stretch] = []
    start, text = 0, list[int]()
    for token in tokens:
        if token < first_mark:
            text.append(token)
            continue
        if text:
            found.append(Stretch(start, max(token - first_mark, start), tuple(text)))
            text = []
        start = token - first_mark
    if text and not found:
        return [Stretch(start, None, tuple(text))], 0
    # A single mark at the end says that nothing follows it; two say that somebody goes on.
    goes_on = bool(text) or list(_marks(tokens[-2:], first_mark)) == [True, True]
    return found, (found[-1].end or 0) if found and goes_on else 0


def _marks(tokens: Sequence[int], first_mark: int) -> Iterator[bool]:
    return (token >= first_mark for token in tokens)


def repetitiveness(text: str) -> float:
    """How much smaller ``text`` is when it is compressed: what says the same again and again shrinks much."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
