"""Has PDF files read within limits, by processes that can be ended: ``pdf_worker``, which imports pypdf."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Literal

import msgspec
from msgspec import Struct

from hugweb.api.fairness import FairPlaces
from inference.asker import asker
from inference.errors import Unsupported
from inference.isolated import IsolatedProcesses

PAGES = 500
CHARACTERS = 2**20
SECONDS = 5.0
MOST_PROCESSES = 2
REMEMBERED = 16
WORKER = "hugweb.api.pdf_worker"
_WHY = {
    "broken": "This PDF file is damaged.",
    "encrypted": "This PDF file is encrypted. Send it without its password.",
    "empty": "This PDF file holds no text, as scans do not. Send pictures of its pages.",
    "long": f"This PDF file is too long: at most {PAGES} pages and {CHARACTERS} characters are read.",
}


class Job(Struct, frozen=True):
    """A file to read: within how many seconds of computing, and up to how many pages and characters."""

    file: bytes
    seconds: float
    pages: int
    characters: int


class Read(Struct, frozen=True, tag=True):
    """What a file says."""

    text: str


class Refused(Struct, frozen=True, tag=True):
    """Why a file is not read."""

    reason: Literal["broken", "encrypted", "empty", "long"]


Answer = Read | Refused
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class PdfFiles:
    """Reads files, each within ``seconds`` of computing, from any thread; first those of whoever has fewest
    being read. The last few are remembered, since each turn of a conversation sends its files again."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._processes = IsolatedProcesses(WORKER, MOST_PROCESSES)
        self._places = FairPlaces(MOST_PROCESSES)
        self._known: OrderedDict[bytes, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def text(self, file: bytes, place: str) -> str:
        """What ``file`` says. Blocks; ``Unsupported`` for one that is not read, which ``place`` names."""
        digest = hashlib.sha256(file).digest()
        with self._lock:
            answer = self._known.get(digest)
        if answer is None:
            answer = self._read(file, place)
        self._remember(digest, answer)
        if isinstance(answer, Refused):
            raise Unsupported(_WHY[answer.reason], param=place)
        return answer.text

    def close(self) -> None:
        """End the processes that nobody uses."""
        self._processes.close()

    def _read(self, file: bytes, place: str) -> Answer:
        job = Job(file, self._seconds, PAGES, CHARACTERS)
        with self._places.place(asker().owner):
            answer = self._processes.ask(msgspec.msgpack.encode(job))
        if answer is None:
            raise Unsupported("This PDF file takes too long or too much memory to read.", param=place)
        return _answers.decode(answer)

    def _remember(self, digest: bytes, answer: Answer) -> None:
        with self._lock:
            self._known[digest] = answer
            self._known.move_to_end(digest)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


PDF_FILES = PdfFiles()
