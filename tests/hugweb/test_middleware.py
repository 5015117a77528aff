"""Middlewares on the event loop: what needs no thread starts none, and what is stored is stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib import messages
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.urls import path

from hugweb.urls import urlpatterns as hugweb_urls

# A process of its own: Django's test client connects what our application disconnects.
ASKED = """
import asyncio, threading
from hugweb.asgi import application

HEADERS = [(b"host", b"127.0.0.1")]
SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/api/version",
         "raw_path": b"/api/version",
         "query_string": b"", "headers": HEADERS, "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}
received = iter([{"type": "http.request", "body": b"", "more_body": False}])

async def receive():
    for message in received:
        return message
    await asyncio.Event().wait()

async def send(message):
    if message["type"] == "http.response.start":
        names = (name.decode() for name, _ in message["headers"])
        print(message["status"], threading.active_count(), *names)

asyncio.run(application(SCOPE, receive, send))
"""


def welcome(request: HttpRequest) -> HttpResponse:
    """Says what was said before, and something new."""
    said = [message.message for message in get_messages(request)]
    request.session["visits"] = request.session.get("visits", 0) + 1
    messages.info(request, f"visit {request.session['visits']}")
    return HttpResponse(" ".join(said))


urlpatterns = [path("welcome/", welcome), *hugweb_urls]


def test_an_answer_of_an_api_starts_no_thread(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASKED],
        env={"HUGWEB_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert asked.returncode == 0, asked.stderr
    status, threads, *headers = asked.stdout.split()
    assert (status, threads) == ("200", "1")
    assert {"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options"} <= set(headers)


@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True)
async def test_a_session_and_messages_are_stored() -> None:
    client = AsyncClient(headers={"host": "127.0.0.1"})
    said = [(await client.get("/welcome/")).content for _ in range(3)]
    assert said == [b"", b"visit 1", b"visit 2"]
