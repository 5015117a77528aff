"""What was heard, in each of OpenAI's forms: ``json``, ``text``, ``verbose_json``, ``srt`` and ``vtt``.

The forms of subtitles: SubRip, which has no standard, as players read it; WebVTT, https://www.w3.org/TR/webvtt1/.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpResponse

from hugweb.api.responses import json_response
from inference.protocol import Heard, Utterance


def heard_respond(heard: Heard, form: str, task: str) -> HttpResponse:
    """The answer in ``form``, one of ``FORMS``; ``task`` is what was asked for."""
    return FORMS[form](heard, task)


def text_of(heard: Heard) -> str:
    """All that was said, without the space that its first word begins with."""
    return "".join(utterance.text for utterance in heard.utterances).strip()


def plain(text: str, kind: str = "text/plain") -> HttpResponse:
    """``text`` and nothing else."""
    return HttpResponse(text, content_type=f"{kind}; charset=utf-8")


def _json(heard: Heard, task: str) -> HttpResponse:
    return json_response({"text": text_of(heard), "usage": _usage(heard)})


def _text(heard: Heard, task: str) -> HttpResponse:
    return plain(text_of(heard) + "\n")


def _verbose(heard: Heard, task: str) -> HttpResponse:
    return json_response(
        {
            "task": task,
            "language": heard.language,
            "duration": round(heard.duration, 2),
            "text": text_of(heard),
            "segments": [_segment(number, each) for number, each in enumerate(heard.utterances)],
            "usage": _usage(heard),
        }
    )


def _srt(heard: Heard, task: str) -> HttpResponse:
    blocks = (
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_lines(each)}\n\n"
        for number, each in enumerate(heard.utterances, start=1)
    )
    return plain("".join(blocks))


def _vtt(heard: Heard, task: str) -> HttpResponse:
    blocks = (
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{_lines(each)}\n\n"
        for each in heard.utterances
    )
    return plain("WEBVTT\n\n" + "".join(blocks), "text/vtt")


FORMS: dict[str, Callable[[Heard, str], HttpResponse]] = {
    "json": _json,
    "text": _text,
    "verbose_json": _verbose,
    "srt": _srt,
    "vtt": _vtt,
}


def _segment(number: int, utterance: Utterance) -> dict[str, Any]:
    return {
        "id": number,
        "seek": utterance.seek,
        "start": utterance.start,
        "end": utterance.end,
        "text": utterance.text,
        "tokens": utterance.tokens,
        "temperature": utterance.temperature,
        "avg_logprob": utterance.logprob,
        "compression_ratio": _compression(utterance.text.encode()),
        "no_speech_prob": utterance.silence,
    }


def _usage(heard: Heard) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(heard.duration)}


def _compression(text: bytes) -> float:
    return len(text) / len(zlib.compress(text))


def _lines(utterance: Utterance) -> str:
    """The text of a subtitle. An empty line would end it, and an arrow would begin another."""
    lines: Sequence[str] = [line.strip() for line in utterance.text.splitlines() if line.strip()]
    return "\n".join(lines).replace("-->", "->")


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and thousandths."""
    minutes, thousandths = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{thousandths // 1000:02}{point}{thousandths % 1000:03}"
