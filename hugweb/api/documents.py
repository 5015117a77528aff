"""Documents in requests: what they say becomes text of the prompt, with its title and what it is about.

What a file is is seen from its bytes, since clients name types as they like: text in UTF-8, or PDF.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from hugweb.api.pdf import PDF_FILES, SECONDS
from inference.asker import asker
from inference.errors import Busy, InferenceError, InvalidRequest, RateLimited, Unsupported

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=InferenceError)

# Of files in the description, which has no words for UTF-8: ASCII in base64, whole groups of four.
_GROUP = "[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/]"
TEXT_FILE_PATTERN = f"(?:{_GROUP})+"
# In one request, each of which may compute for as long as a PDF may.
MOST_FILES = 32
# Requests that are being read at once, of everybody and of each; most of them wait for one of few processes.
MOST_REQUESTS, MOST_OF_EACH = 64, 16
# Of their own, so that those who wait for documents do not keep everybody else's threads.
_THREADS = ThreadPoolExecutor(MOST_REQUESTS, thread_name_prefix="documents")


class Readers:
    """Counts the requests that are being read, by whose they are, from any thread."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._lock = threading.Lock()

    def total(self) -> int:
        """How many there are."""
        with self._lock:
            return self._requests.total()

    def enter(self, who: str) -> None:
        """One more of ``who``; ``RateLimited`` or ``Busy`` where there are too many."""
        with self._lock:
            if self._requests[who] >= MOST_OF_EACH:
                raise _later(
                    RateLimited(
                        f"{MOST_OF_EACH} of your requests are being read for their files. Try again soon."
                    )
                )
            if self._requests.total() >= MOST_REQUESTS:
                raise _later(Busy("Too many requests are being read for their files. Try again soon."))
            self._requests[who] += 1

    def leave(self, who: str) -> None:
        """One less of ``who``."""
        with self._lock:
            self._requests -= Counter((who,))


READERS = Readers()


async def reading(files: int, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``call`` returns; where it reads so many ``files``, it is called in a thread.

    ``RateLimited`` or ``Busy`` where too many are; one that nobody waits for any longer counts until it ends.
    """
    if not files:
        return call(*args, **kwargs)
    if files > MOST_FILES:
        raise InvalidRequest(f"{files} files are too many; at most {MOST_FILES} are read in a request.")
    context, who = copy_context(), asker().owner
    READERS.enter(who)
    future = _THREADS.submit(lambda: context.run(call, *args, **kwargs))
    future.add_done_callback(lambda _: READERS.leave(who))
    return await asyncio.wrap_future(future)


def _later(error: E) -> E:
    """``error`` that passes when a document has been read."""
    error.wait = math.ceil(SECONDS)
    return error


def framed(text: str, *, title: str = "", source: str = "", context: str = "") -> str:
    """``text`` as a model is shown a document. Models know such marks from what they were trained with."""
    told = {"title": title, "source": source, "context": context}
    about = "".join(f"<{name}>{value}</{name}>\n" for name, value in told.items() if value)
    return f"<document>\n{about}{text}\n</document>"


def file_text(file: bytes, place: str) -> str:
    """What ``file`` says; ``place`` is where the request has it, for errors. Blocks: see ``reading``."""
    if not file:
        raise InvalidRequest(f"{place}: this file is empty.", param=place)
    if file.startswith(b"%PDF-"):
        return PDF_FILES.text(file, place)
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unsupported("Documents must be text in UTF-8, or PDF.", param=place) from error
