"""Pictures and vectors with everything real: server, engine, models from the store, and the clients."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import ollama
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import CHROMIUM, DESKTOP
from tests.engine.test_shapes import FOLDER, QUESTION, picture
from tests.serving import Server, eventually, pull_models, status_of
from tests.shapes import NAMES
from tests.test_live import hugweb
from tests.tiny import make_tiny_bert

SHAPES, BERT, RERANKER = "tiny/shapes", "tiny/bert", "tiny/reranker"
# The page sends no temperature, so that it asks for an alias that draws no lots.
SURE = "shapes"
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_root: Path, tiny_llama: Path) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("media") / "home"
    folders = {
        SHAPES: FOLDER,
        BERT: make_tiny_bert(models_root / "live" / "bert"),
        RERANKER: make_tiny_bert(models_root / "live" / "reranker", labels=1),
        "tiny/llama": tiny_llama,
    }
    pull_models(home, folders)
    made = hugweb(home, "create", "--alias", SURE, "--model", SHAPES, "--temperature", "0")
    assert made.returncode == 0, made.stderr
    with Server(home) as server:
        yield server


@pytest.fixture
def client(server: Server) -> ollama.Client:
    eventually(lambda: status_of(server.url + "/health/ready") == 200, server.output)
    return ollama.Client(server.url)


def see(client: ollama.Client, *pictures: bytes, question: str = QUESTION) -> str | None:
    message = ollama.Message(
        role="user", content=question, images=[ollama.Image(value=one) for one in pictures]
    )
    return client.chat(SHAPES, [message], options=GREEDY).message.content


def test_ollamas_chat_names_what_it_never_saw(client: ollama.Client) -> None:
    right = [see(client, picture(*name, 7)) == f"A {name[0]} {name[1]}." for name in NAMES]
    assert sum(right) / len(right) >= 0.95


def test_swapped_pictures_swap_the_answers(client: ollama.Client) -> None:
    pictures = picture("red", "circle"), picture("blue", "star")
    question = "What is in these pictures?"
    assert see(client, *pictures, question=question) == "A red circle and a blue star."
    assert see(client, *reversed(pictures), question=question) == "A blue star and a red circle."


def test_ollamas_generate_sees_too(client: ollama.Client) -> None:
    answer = client.generate(SHAPES, QUESTION, images=[picture("green", "triangle")], options=GREEDY)
    assert answer.response == "A green triangle."


def test_openais_chat_sees_too(client: ollama.Client, server: Server) -> None:
    url = "data:image/png;base64," + base64.b64encode(picture("red", "circle")).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    body = {"model": SHAPES, "messages": [{"role": "user", "content": content}], "temperature": 0}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).json()
    assert answer["choices"][0]["message"]["content"] == "A red circle."


def test_a_text_model_refuses_a_picture_before_it_is_loaded(client: ollama.Client) -> None:
    message = ollama.Message(role="user", content="x", images=[ollama.Image(value=picture("red", "star"))])
    with pytest.raises(ollama.ResponseError, match="does not support images") as error:
        client.chat("tiny/llama", [message])
    assert error.value.status_code == 400
    assert "tiny/llama:latest" not in {model.model for model in client.ps().models}


@pytest.fixture
def page(browser: Browser, server: Server) -> Page:
    """The chat page, for whoever opened the address that the server printed."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(server.login_address)
    return page


def see_on(page: Page, server: Server, *pictures: bytes, question: str = QUESTION) -> str | None:
    """What the page shows as the answer in a new conversation."""
    page.goto(f"{server.url}/chat/")
    page.select_option("#model", SURE)
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": one} for n, one in enumerate(pictures)]
    page.set_input_files("#files", files)
    page.fill("#text", question)
    page.click("#send")
    expect(page.locator(".figures")).to_contain_text("complete", timeout=60_000)
    return page.locator(".answer .prose").text_content()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_page_names_what_it_never_saw(client: ollama.Client, page: Page, server: Server) -> None:
    # One of each shape: how often the model is right is told by the API's test.
    for name in NAMES[::7]:
        assert see_on(page, server, picture(*name, 9)) == f"A {name[0]} {name[1]}.\n"
    two, question = (picture("red", "circle"), picture("blue", "star")), "What is in these pictures?"
    assert see_on(page, server, *two, question=question) == "A red circle and a blue star.\n"
    assert see_on(page, server, *reversed(two), question=question) == "A blue star and a red circle.\n"


def test_what_is_no_picture_is_the_requests_mistake(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as error:
        see(client, b"\x89PNG\r\n\x1a\n and no more")
    assert error.value.status_code == 400


def test_vectors(client: ollama.Client) -> None:
    answer = client.embed(BERT, ["Paris is the capital.", "What?"], dimensions=8)
    assert [len(vector) for vector in answer.embeddings] == [8, 8]
    assert sum(number**2 for number in answer.embeddings[0]) == pytest.approx(1, abs=1e-4)
    assert {model.model for model in client.list().models} >= {f"{BERT}:latest", f"{RERANKER}:latest"}


def test_ranking(client: ollama.Client, server: Server) -> None:
    body = {"model": RERANKER, "query": "Which city?", "documents": ["Paris.", "The lazy dog."]}
    answer = httpx.post(f"{server.url}/api/rerank", json=body, timeout=60).json()
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {result["index"] for result in answer["results"]} == {0, 1}
    assert all(0 < score < 1 for score in scores)
