"""Documents of requests: what is read, within which limits, and that nobody else waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hugweb.api import documents, pdf
from hugweb.api.documents import MOST_FILES, file_text, framed, reading
from hugweb.api.pdf import PAGES, PdfFiles
from inference.asker import Asker, asking
from inference.errors import Busy, InvalidRequest, RateLimited, Unsupported
from tests.documents import make_pdf
from tests.serving import eventually

# A second of computing, or more.
MUCH = b"BT /F1 12 Tf (a) Tj ET\n" * 60_000


@pytest.fixture(scope="module")
def files() -> Iterator[PdfFiles]:
    files = PdfFiles()
    yield files
    files.close()


def test_the_pages_of_a_pdf_are_read(files: PdfFiles) -> None:
    assert files.text(make_pdf("Hello.", "", "The end."), "here") == "Hello.\n\nThe end."
    assert files.text(make_pdf("Hello.", password=""), "here") == "Hello."


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (make_pdf("Hello.", password="secret"), "encrypted"),
        (make_pdf("Hello.")[:200], "damaged"),
        (b"%PDF-", "damaged"),
        (make_pdf(""), "no text"),
        (make_pdf(*[""] * (PAGES + 1)), "too long"),
    ],
)
def test_what_is_not_read_and_why(files: PdfFiles, file: bytes, told: str) -> None:
    with pytest.raises(Unsupported, match=told) as error:
        files.text(file, "here")
    assert error.value.param == "here"


def test_a_pdf_says_no_more_than_so_much(files: PdfFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "CHARACTERS", 11)
    assert files.text(make_pdf("Hello", " there"), "here") == "Hello\n\nthere"
    with pytest.raises(Unsupported, match="too long"):
        files.text(make_pdf("Hello,", " there."), "here")


def test_what_computes_for_too_long_is_ended_and_others_are_read() -> None:
    files = PdfFiles(seconds=0.3)
    with pytest.raises(Unsupported, match="takes too long"):
        files.text(make_pdf("Hello.", operators=MUCH), "here")
    assert files.text(make_pdf("Hello."), "here") == "Hello."
    files.close()


def test_files_of_others_are_read_between_those_of_one_who_sends_many(files: PdfFiles) -> None:
    places = files._places

    def read(user: int) -> str:
        with asking(Asker(user=user)):
            return files.text(make_pdf(f"of {user}"), "here")

    with ThreadPoolExecutor(2) as threads, places.place("user 1"):
        with places.place("user 1"):
            first = threads.submit(read, 1)
            eventually(lambda: places.line() == ["user 1"], lambda: "it does not wait")
            other = threads.submit(read, 2)
            eventually(lambda: places.line() == ["user 1", "user 2"], lambda: "it does not wait")
        assert "user 2" not in places.line()
        assert other.result(60) == "of 2"
        assert first.result(60) == "of 1"


def test_the_last_few_are_remembered_and_no_more() -> None:
    files = PdfFiles()
    made = [make_pdf(f"{number}") for number in range(pdf.REMEMBERED + 1)]
    for number, file in enumerate(made):
        assert files.text(file, "here") == str(number)
    files.close()
    files._processes = None  # type: ignore[assignment]
    assert files.text(made[1], "here") == "1"
    with pytest.raises(AttributeError):
        files.text(made[0], "here")


async def test_who_reads_files_keeps_nobody_waiting() -> None:
    going, loop = threading.Event(), asyncio.get_running_loop()
    loop.call_soon(going.set)
    assert await reading(1, going.wait, 10)
    assert await reading(0, threading.current_thread) is threading.main_thread()
    with pytest.raises(InvalidRequest, match="too many"):
        await reading(MOST_FILES + 1, going.wait, 10)


async def test_many_requests_of_one_leave_room_for_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when their client has left: they are still being read."""
    monkeypatch.setattr(documents, "MOST_OF_EACH", 2)
    monkeypatch.setattr(documents, "MOST_REQUESTS", 3)
    begun, going = threading.Semaphore(0), threading.Event()

    def wait() -> bool:
        begun.release()
        return going.wait(60)

    def read(user: int) -> asyncio.Task[bool]:
        with asking(Asker(user=user)):
            return asyncio.create_task(reading(1, wait))

    first, left, other = read(1), read(1), read(2)
    for _ in range(3):
        assert await asyncio.to_thread(begun.acquire, timeout=60)
    left.cancel()
    with pytest.raises(RateLimited, match="2 of your requests") as error:
        await read(1)
    assert error.value.wait == 5
    with pytest.raises(Busy, match="Too many requests") as busy:
        await read(3)
    assert (busy.value.retryable, busy.value.wait) == (True, 5)
    going.set()
    assert await first and await other
    async with asyncio.timeout(60):
        while documents.READERS.total():
            await asyncio.sleep(0.01)
    assert await read(1) and await read(3)


def test_text_is_known_by_its_bytes() -> None:
    assert file_text("\ufeffä".encode(), "here") == "ä"
    with pytest.raises(Unsupported, match="UTF-8, or PDF"):
        file_text(b"\xff\xfe\x00", "here")
    assert framed("a") == "<document>\na\n</document>"
