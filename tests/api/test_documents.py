"""Documents of requests: what is read, within which limits, and that nobody else waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hugweb.api import pdf
from hugweb.api.documents import MOST_FILES, file_text, framed, reading
from hugweb.api.pdf import PAGES, PdfFiles
from inference.errors import InvalidRequest, Unsupported
from tests.documents import make_pdf

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


def test_text_is_known_by_its_bytes() -> None:
    assert file_text("\ufeffä".encode(), "here") == "ä"
    with pytest.raises(Unsupported, match="UTF-8, or PDF"):
        file_text(b"\xff\xfe\x00", "here")
    assert framed("a") == "<document>\na\n</document>"
