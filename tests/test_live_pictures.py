"""Pictures with everything real: the command that takes a pipeline in, server, engine, APIs."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serving import Server, eventually, pull_models, status_of
from tests.tiny_pipelines import SIDE, make_tiny_sd

MODEL = "tiny/painter"
ASKED = {"model": MODEL, "prompt": "a red circle", "steps": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("pictures")
    pull_models(place / "home", {MODEL: make_tiny_sd(place / "sd")})
    with Server(place / "home") as server:
        eventually(lambda: status_of(server.url + "/health/ready") == 200, server.output)
        yield server


def sent(server: Server, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=60)


def opened(encoded: str) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)), formats=["PNG"])
    picture.load()
    return picture


def data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_ollamas_generate_tells_each_step_and_sends_the_picture(server: Server) -> None:
    answer = sent(server, "/api/generate", ASKED | {"options": {"seed": 7}})
    frames = [json.loads(line) for line in answer.text.splitlines()]
    assert [frame["completed"] for frame in frames if "completed" in frame] == [0, 1, 2, 3, 4]
    assert frames[-1]["done"] is True
    assert opened(frames[-1]["image"]).size == (SIDE, SIDE)
    again = sent(server, "/api/generate", ASKED | {"options": {"seed": 7}, "stream": False}).json()
    assert again["image"] == frames[-1]["image"]


def test_openais_generations_are_as_many_as_were_asked_for(server: Server) -> None:
    body = ASKED | {"n": 2, "seed": 7, "size": "48x32"}
    answer = sent(server, "/v1/images/generations", body).json()
    assert [opened(one["b64_json"]).size for one in answer["data"]] == [(48, 32)] * 2
    assert [one["seed"] for one in answer["data"]] == [7, 8]
    alone = sent(server, "/v1/images/generations", body | {"n": 1, "seed": 8}).json()
    assert alone["data"][0]["b64_json"] == answer["data"][1]["b64_json"]


def test_openais_edits_paint_where_the_mask_is_transparent(server: Server) -> None:
    source = Image.new("RGB", (SIDE, SIDE), "red")
    mask = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, SIDE // 2, SIDE))
    body = ASKED | {"image": data_url(source), "mask": data_url(mask)}
    edited = opened(sent(server, "/v1/images/edits", body).json()["data"][0]["b64_json"])
    assert edited.crop((SIDE // 2, 0, SIDE, SIDE)).getcolors() == [(SIDE * SIDE // 2, (255, 0, 0))]
    assert edited.crop((0, 0, SIDE // 2, SIDE)).getcolors() != [(SIDE * SIDE // 2, (255, 0, 0))]


def test_what_cannot_be_drawn_is_the_requests_mistake(server: Server) -> None:
    answer = sent(server, "/v1/images/generations", ASKED | {"size": "33x32"})
    assert answer.status_code == 400
    assert "the nearest to 33 × 32 is 32 × 32" in answer.json()["error"]["message"]


def test_it_is_listed_with_what_it_can_do_and_does_not_chat(server: Server) -> None:
    shown = sent(server, "/api/show", {"model": MODEL}).json()
    assert shown["capabilities"] == ["image", "image_edit"]
    assert shown["details"]["family"] == "stable-diffusion"
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
    assert sent(server, "/api/chat", body).status_code == 400
