"""Documents in requests: what they say becomes text of the prompt, with its title and what it is about.

What a file is is seen from its bytes, since clients name types as they like: text in UTF-8, or PDF.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from hugweb.api.pdf import MOST_PROCESSES, PDF_FILES
from inference.errors import InvalidRequest, Unsupported

P = ParamSpec("P")
R = TypeVar("R")

# Of files in the description, which has no words for UTF-8: ASCII in base64, whole groups of four.
_GROUP = "[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/]"
TEXT_FILE_PATTERN = f"(?:{_GROUP})+"
# In one request, each of which may compute for as long as a PDF may.
MOST_FILES = 32
# Of their own, so that those who wait for documents do not keep everybody else's threads.
_THREADS = ThreadPoolExecutor(MOST_PROCESSES, thread_name_prefix="documents")


async def reading(files: int, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``call`` returns; where it reads so many ``files``, it is called in a thread."""
    if not files:
        return call(*args, **kwargs)
    if files > MOST_FILES:
        raise InvalidRequest(f"{files} files are too many; at most {MOST_FILES} are read in a request.")
    context = copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, lambda: context.run(call, *args, **kwargs))


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
