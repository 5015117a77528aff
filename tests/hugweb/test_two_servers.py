"""Two web processes on one database: what is changed through one is in force in both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.protocol import Generate
from tests.api.stage import Stage
from tests.fakes import FakeEngine, gated
from tests.serving import MODEL, Server, engine_thread, eventually, fill_home, page, run_python

STATUSES = """
import django; django.setup()
from conversations.models import Message
print(*Message.objects.filter(role="assistant").values_list("status", flat=True))
"""
ASK = {"messages": [{"role": "user", "content": "hi"}], "stream": False}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Stage]]:
    """Each with a home and an engine of its own; the second follows a file of aliases."""
    folder = tmp_path_factory.mktemp("two")
    fill_home(folder / "first")
    database = {"DATABASE_URL": f"sqlite:///{folder}/first/db.sqlite3"}
    followed = {**database, "HUGWEB_ALIASES_FILE": f"{folder}/aliases.json"}
    with (
        engine_thread(folder / "1.sock") as one,
        engine_thread(folder / "2.sock") as two,
        Server(folder / "first", engine=one, env=database) as first,
        Server(folder / "second", engine=two, env=followed) as second,
    ):
        yield Stage(first, one), Stage(second, two)


def status_of(stage: Stage, alias: str) -> int:
    return stage.post("/api/chat", {**ASK, "model": alias})[0]


def asked(stage: Stage, alias: str) -> Generate:
    """The request that an answer of this server led to."""
    status, _, body = stage.post("/api/chat", {**ASK, "model": alias})
    assert status == 200, body
    request = stage.engine.requests[-1]
    assert isinstance(request, Generate)
    return request


def made(stage: Stage, path: str, body: dict[str, Any]) -> None:
    status, _, answer = stage.post(path, body)
    assert status == 200, answer


def test_an_edit_is_in_force_for_the_next_request_in_both(stages: tuple[Stage, Stage]) -> None:
    first, second = stages
    assert status_of(second, "pal") == 404
    for top_k, (maker, other) in enumerate([(first, second), (second, first)], start=3):
        made(maker, "/api/create", {"model": "pal", "from": MODEL, "parameters": {"top_k": top_k}})
        for stage in (other, maker):
            assert asked(stage, "pal").options.top_k == top_k
    status, _, _ = first.request("DELETE", "/api/delete", {"model": "pal"})
    assert status == 200
    assert status_of(second, "pal") == 404


def test_so_is_a_file_that_one_of_them_follows(stages: tuple[Stage, Stage], tmp_path: Path) -> None:
    first, second = stages
    file = second.server.home.with_name("aliases.json")

    def write(text: str) -> None:
        draft = tmp_path / "draft"
        draft.write_text(text)
        draft.rename(file)

    for top_k in (5, 6):
        write(json.dumps({"aliases": {"mate": {"model": MODEL, "options": {"top_k": top_k}}}}))
        eventually(partial(_answers_by, first, top_k), second.server.output)
        assert asked(second, "mate").options.top_k == top_k
    write("broken")
    eventually(lambda: "stay as they were" in second.server.output(), second.server.output)
    assert asked(first, "mate").options.top_k == asked(second, "mate").options.top_k == 6


def _answers_by(stage: Stage, top_k: int) -> bool:
    return status_of(stage, "mate") == 200 and asked(stage, "mate").options.top_k == top_k


async def test_a_start_marks_what_the_last_server_of_its_home_left_and_nobody_else(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    database = {"DATABASE_URL": f"sqlite:///{first}/db.sqlite3"}
    script, _ = gated(["one "])

    async def statuses() -> str:
        return (await asyncio.to_thread(run_python, STATUSES, first)).strip()

    async with FakeEngine(tmp_path / "e.sock", script) as engine:
        async with Server(first, engine=engine) as server:
            async with httpx.AsyncClient() as owner:
                await owner.get(server.login_address)
                cookies = "; ".join(f"{name}={value}" for name, value in owner.cookies.items())
            async with page(server, cookies) as socket:
                await socket.send(json.dumps({"type": "send", "text": "hi", "model": MODEL}))
                assert json.loads(await socket.recv())["type"] == "started"
                async with Server(second, engine=engine, env=database):
                    assert await statuses() == "streaming"
                server.kill()
        async with Server(first, engine=engine):
            assert await statuses() == "interrupted"
