"""Usage through everything: a real server, many clients, some of whom leave, and an engine that dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from inference.protocol import Done, Event, Generate, Reading, Request, Text, Usage
from tests.fakes import FakeEngine
from tests.postgres import INITDB, new_database, postgres
from tests.serving import FILL_HOME, MODEL, Server, run_python

TOTALS = """
import django; django.setup()
import json
from django.db.models import Count, Sum
from inference.usage.models import UsageDay, UsageRecord
sums = {name: Sum(name) for name in ("prompt_tokens", "completion_tokens")}
outcomes = UsageRecord.objects.order_by().values_list("outcome", "code").annotate(n=Count("pk"))
print(json.dumps({
    "rows": UsageRecord.objects.aggregate(**sums), "days": UsageDay.objects.aggregate(**sums),
    "requests": UsageDay.objects.aggregate(n=Sum("requests"))["n"],
    "outcomes": {f"{outcome} {code}".strip(): n for outcome, code, n in outcomes},
}))
"""


async def says(request: Request) -> AsyncIterator[Event]:
    """As many words as asked for; "hang" says two and then nothing more."""
    assert isinstance(request, Generate)
    wish = request.messages[-1].content
    yield Reading(done=0, total=11)
    if wish == "hang":
        yield Text(text="a ", tokens=1)
        yield Text(text="b ", tokens=1)
        await asyncio.Event().wait()
    for _ in range(int(wish)):
        yield Text(text="word ", tokens=1)
    yield Done(reason="stop", usage=Usage(prompt=11, completion=int(wish)))


class Clients:
    """What all clients together were told."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url, self.http = url, http
        self.prompt = self.completion = self.failed = self.hanging = 0

    async def ask(self, wish: str, *, stream: bool, leave: bool = False) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": wish}], "stream": stream}
        async with self.http.stream("POST", f"{self.url}/api/chat", json=body) as answer:
            pieces = 0
            async for line in answer.aiter_lines():
                frame = json.loads(line)
                pieces += bool(frame.get("message", {}).get("content"))
                if frame.get("done"):
                    self.prompt += frame["prompt_eval_count"]
                    self.completion += frame.get("eval_count", 0)
                    return
                if frame.get("error"):
                    self.failed += 1
                    break
                self.hanging += wish == "hang" and pieces == 2
                if leave and pieces == 2:
                    break
        self.prompt += 11
        self.completion += pieces


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that chooses a database."""
    if request.param == "sqlite":
        yield {}
        return
    if INITDB is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres() as folder:
        env = {"DATABASE_URL": new_database(folder)}
        run_python(FILL_HOME, tmp_path / "home", env)
        yield env


async def test_the_sum_of_usage_is_what_clients_were_told(tmp_path: Path, database: dict[str, str]) -> None:
    home = tmp_path / "home"
    engine = FakeEngine(tmp_path / "e.sock", says)
    async with engine, Server(home, engine=engine, env=database) as server:
        async with httpx2.AsyncClient(
            timeout=60, limits=httpx2.Limits(max_connections=250, max_keepalive_connections=0)
        ) as http:
            clients = Clients(server.url, http)
            doomed = [asyncio.create_task(clients.ask("hang", stream=True)) for _ in range(20)]
            others = [clients.ask(str(n % 9), stream=n % 2 == 0) for n in range(140)]
            leavers = [clients.ask("hang", stream=True, leave=True) for _ in range(40)]
            await asyncio.gather(*others, *leavers)
            async with asyncio.timeout(30):
                while engine.closed < 40 or clients.hanging < 60:
                    await asyncio.sleep(0.01)
            engine.die()
            await asyncio.gather(*doomed)
        assert clients.failed == 20
        assert await asyncio.to_thread(server.stop) == 0
    told = {"prompt_tokens": clients.prompt, "completion_tokens": clients.completion}
    totals = json.loads(run_python(TOTALS, home, database))
    assert totals["requests"] == 200
    assert totals["outcomes"] == {"done": 140, "cancelled": 40, "failed engine_died": 20}
    assert totals["rows"] == totals["days"] == told
