"""Reads the text of PDF files in a process of its own: python -m hugweb.api.pdf_worker.

A file comes with a request and may be hostile: streams that unpack to gigabytes, trees of pages without end.
A job is a ``Job``, its answer a ``Read`` or a ``Refused``.
"""

from __future__ import annotations

import io
import logging

import msgspec
from pypdf import PdfReader

from hugweb.api.pdf import Answer, Job, Read, Refused
from inference.isolated_worker import serve, timed


def answer(job: bytes) -> bytes:
    """The answer to a job, both encoded."""
    asked = msgspec.msgpack.decode(job, type=Job)
    with timed(asked.seconds):
        return msgspec.msgpack.encode(_tried(asked))


def _tried(job: Job) -> Answer:
    try:
        return _read(job)
    except Exception:  # noqa: BLE001 - a damaged file leads pypdf into errors of every kind
        return Refused("broken")


def _read(job: Job) -> Answer:
    reader = PdfReader(io.BytesIO(job.file))
    # Many are encrypted with an empty password, against printing.
    if reader.is_encrypted and not reader.decrypt(""):
        return Refused("encrypted")
    if len(reader.pages) > job.pages:
        return Refused("long")
    pages: list[str] = []
    room = job.characters
    for page in reader.pages:
        pages.append(page.extract_text().strip())
        room -= len(pages[-1])
        if room < 0:
            return Refused("long")
    # Halves of characters, which files may hold, are no text.
    text = "\n\n".join(filter(None, pages)).encode(errors="replace").decode()
    return Read(text) if text else Refused("empty")


if __name__ == "__main__":
    logging.disable()
    serve(answer)
