"""From the samples of a sound to what is said in it and when, with a Whisper.

The model listens to 30 seconds at a time and writes marks of time between what it understood. Where a
window ends within a sentence, the next one begins at the last mark. Windows that came out badly are
tried again at higher temperatures, and those in which nobody seems to speak are left out. Source:
Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 4.5; the
thresholds are theirs. Runs in the thread of whoever calls; knows nothing of requests that wait.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from inference.engine.sounds import decode_sound
from inference.engine.whisper import HUNDREDTHS, Attempt, OnPulse, Whisper, Window
from inference.protocol import Heard, Reading, Text, Transcribe, Utterance

LONGEST_SOUND = 3600
# A mark of time counts so many seconds.
MARK_SECONDS = 0.02
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST_REPETITIVE = 2.4
LEAST_LIKELY = -1.0
SURELY_SILENT = 0.6

Tell = Callable[[Text | Reading | Heard], None]


@dataclass(frozen=True)
class Stretch:
    """Tokens of text between two marks, as these count; ``end`` is ``None`` where the window ends it."""

    start: int
    end: int | None
    tokens: tuple[int, ...]


class Transcriber:
    """Listens with ``model``, window by window."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._whisper = Whisper(model, processor)
        self.windows = 0

    def transcribe(self, request: Transcribe, tell: Tell) -> int:
        """Tell what is said, and how far it is; tokens written.

        What ``tell`` raises ends it. ``InvalidRequest`` for what is no sound, and for an unknown language.
        """
        whisper, translate = self._whisper, request.translate
        language = whisper.language_named(request.language, translate=translate)
        hint = whisper.hint(request.prompt)
        samples = decode_sound(request.sound, whisper.rate, LONGEST_SOUND)
        total, place = len(samples) * HUNDREDTHS // whisper.rate, 0
        utterances: list[Utterance] = []
        while place < max(total, 1):
            on_pulse = partial(tell, Reading(done=place, total=total))
            on_pulse()
            self.windows += 1
            window = whisper.hear(samples[place * whisper.rate // HUNDREDTHS :][: whisper.most])
            language = language or whisper.language(window)
            prompt = [*hint, *whisper.beginning(language, translate=translate)]
            best = self._best(window, prompt, request.temperature, on_pulse)
            heard, ahead = self._understood(window, best, place)
            for utterance in heard:
                tell(Text(text=utterance.text, tokens=len(utterance.tokens)))
            utterances += heard
            place += ahead
        tell(Reading(done=total, total=total))
        name, duration = whisper.name_of(language), len(samples) / whisper.rate
        tell(Heard(language=name, duration=duration, utterances=tuple(utterances), timed=whisper.timed))
        return sum(len(utterance.tokens) for utterance in utterances)

    def _best(self, window: Window, prompt: list[int], temperature: float, on_pulse: OnPulse) -> Attempt:
        """The first attempt that is neither unlikely nor says the same again and again, or the last."""
        temperatures = [step for step in TEMPERATURES if step >= temperature] or [temperature]
        if temperature not in temperatures:
            temperatures.insert(0, temperature)
        for step in temperatures:
            attempt = self._whisper.write(window, prompt, step, on_pulse)
            repeats = repetitiveness(self._whisper.text(attempt.tokens))
            if attempt.logprob >= LEAST_LIKELY and repeats <= MOST_REPETITIVE:
                break
        return attempt

    def _understood(self, window: Window, best: Attempt, place: int) -> tuple[list[Utterance], int]:
        """What is said in the window at ``place``, and how far to go on, in hundredths of a second."""
        silence = self._whisper.silence(window)
        if silence > SURELY_SILENT and best.logprob < LEAST_LIKELY:
            return [], window.length
        stretches, ahead = stretches_of(best.tokens, self._whisper.first_mark)
        heard = [self._utterance(window, best, place, stretch, silence) for stretch in stretches]
        marked = round(ahead * MARK_SECONDS * HUNDREDTHS) if ahead else window.length
        return [each for each in heard if each.text.strip()], min(marked, window.length) or window.length

    def _utterance(
        self, window: Window, best: Attempt, place: int, stretch: Stretch, silence: float
    ) -> Utterance:
        # The model listens to silence behind the end of a short window.
        seconds, last = place / HUNDREDTHS, window.length / HUNDREDTHS
        start = min(stretch.start * MARK_SECONDS, last)
        end = last if stretch.end is None else min(stretch.end * MARK_SECONDS, last)
        return Utterance(
            start=round(seconds + start, 2),
            end=round(seconds + end, 2),
            text=self._whisper.text(stretch.tokens),
            tokens=stretch.tokens,
            seek=place,
            temperature=best.temperature,
            logprob=best.logprob,
            silence=silence,
        )


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
