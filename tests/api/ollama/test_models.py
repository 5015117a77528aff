"""Showing, making, copying and embedding, as Ollama's own client sees them."""

from __future__ import annotations

import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import ollama
import pytest

from inference.errors import ContextOverflow
from inference.protocol import (
    Done,
    Embed,
    Embedded,
    Failed,
    Generate,
    Load,
    LoadedModel,
    Timings,
    Usage,
)
from tests.api.stage import HELLO, Stage
from tests.serving import MODEL

CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "max_position_embeddings": 4096,
    "rope_parameters": {"rope_theta": 10000.0},
    "tie_word_embeddings": True,
}


@pytest.fixture
def client(stage: Stage) -> ollama.Client:
    return ollama.Client(stage.server.url)


@pytest.fixture
def folder(stage: Stage) -> Path:
    """The folder of MODEL, with a configuration and a template."""
    folder = stage.server.home / "models" / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def embedded(*vectors: list[float]) -> tuple[Embedded, Done]:
    data = b"".join(struct.pack(f"<{len(vector)}f", *vector) for vector in vectors)
    done = Done(reason="stop", usage=Usage(prompt=7), timings=Timings(total=5, load=3))
    return Embedded(vectors=data, width=len(vectors[0]) if vectors else 0), done


def test_texts_are_embedded_in_order(stage: Stage, client: ollama.Client) -> None:
    """28"""
    stage.plays(*embedded([1.0, 0.0], [0.0, 1.0]))
    answer = client.embed("test/embedder", ["a", "b"], dimensions=2, truncate=False)
    assert answer.embeddings == [[1.0, 0.0], [0.0, 1.0]]
    assert (answer.prompt_eval_count, answer.total_duration, answer.model) == (7, 5, "test/embedder")
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Embed)
    assert (sent.texts, sent.dimensions, sent.truncate) == (("a", "b"), 2, False)
    stage.plays(*embedded([0.5]))
    assert client.embed("test/embedder", "a").embeddings == [[0.5]]
    assert client.embed("test/embedder", [""]).embeddings == [[0.5]]
    assert client.embeddings("test/embedder", "a").embedding == [0.5]


@pytest.mark.parametrize("given", ["", []])
def test_nothing_to_embed_loads(stage: Stage, client: ollama.Client, given: Any) -> None:
    """29, 30"""
    stage.plays(Done(reason="load"))
    assert client.embed("test/embedder", given, keep_alive="90s").embeddings == []
    assert client.embeddings("test/embedder", "").embedding == []
    assert all(isinstance(request, Load) for request in stage.engine.requests)
    assert stage.engine.requests[0].keep_alive == 90  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("embed", {}, 404, "model '' not found"),
        ("embed", {"model": "nope", "input": "x"}, 404, 'model "nope" not found, try pulling it first'),
        ("embed", {"model": "nope", "input": 1}, 400, "invalid input type"),
        ("embed", {"model": MODEL, "input": ["x", 1]}, 400, "invalid input type"),
        ("embed", {"model": MODEL, "input": 0}, 400, "invalid input type"),
        ("embed", {"model": MODEL, "input": False}, 400, "invalid input type"),
        (
            "embed",
            {"model": "test/embedder", "dimensions": -1},
            400,
            "invalid request: Expected `int` >= 0 - at `$.dimensions`",
        ),
        ("embed", {"model": MODEL, "input": {"a": 1}}, 400, "invalid input type"),
        ("embed", {"model": MODEL, "input": "x"}, 400, f'"{MODEL}" does not support embeddings'),
        ("embeddings", {"model": MODEL}, 400, f'"{MODEL}" does not support embeddings'),
        ("embeddings", {}, 400, "model is required"),
        ("embeddings", {"model": "nope"}, 404, 'model "nope" not found, try pulling it first'),
        ("show", {}, 400, "model is required"),
        ("show", {"model": "a b"}, 400, "invalid model name"),
        ("show", {"model": "nope"}, 404, "model 'nope:latest' not found"),
        ("show", {"name": "nope:8b"}, 404, "model 'nope:8b' not found"),
        ("show", {"name": "hf.co/org/nope"}, 404, "model 'hf.co/org/nope:latest' not found"),
        ("show", {"name": "registry.ollama.ai/library/nope"}, 404, "model 'nope:latest' not found"),
        ("show", {"name": "host:1/org/nope"}, 404, "model 'host:1/org/nope:latest' not found"),
        ("copy", {"source": "nope", "destination": "b"}, 404, 'model "nope" not found'),
        ("copy", {"source": "a b", "destination": "b"}, 400, 'source "a b" is invalid'),
        ("copy", {"source": MODEL}, 400, 'destination "" is invalid'),
        ("create", {}, 400, "invalid model name"),
        ("create", {"model": "x"}, 400, "neither 'from' or 'files' was specified"),
        (
            "create",
            {"model": "x", "files": {"config.json": "x"}, "stream": False},
            400,
            "invalid digest format",
        ),
        (
            "create",
            {"model": "x", "files": {"../config.json": f"sha256:{'0' * 64}"}},
            400,
            "file path must be relative",
        ),
        ("create", {"model": "x", "files": {"/config.json": "x"}}, 400, "file path must be relative"),
        ("create", {"model": "x", "files": {"config.json": "x"}}, 400, "invalid digest format"),
        (
            "create",
            {"model": "x", "from": MODEL, "adapters": {"a": f"sha256:{'0' * 64}"}},
            400,
            "Adapters are not supported. Merge the adapter into its model, and take that.",
        ),
        (
            "create",
            {"model": "x", "from": MODEL, "quantize": "q80000"},
            400,
            "unsupported quantization type Q80000 - allowed types are Q8_0, Q4_K_M, F16, BF16 and F32",
        ),
        ("push", {}, 400, "model is required"),
    ],
)
def test_errors_word_for_word(stage: Stage, path: str, body: Any, status: int, error: str) -> None:
    """11, 12"""
    answered, _, text = stage.post(f"/api/{path}", body)
    assert (answered, json.loads(text)) == (status, {"error": error})


def test_what_is_not_here_reaches_the_client_in_ollamas_words(client: ollama.Client) -> None:
    """11, 12"""
    for ask, text in (
        (lambda: client.embed("nope", "x"), 'model "nope" not found, try pulling it first'),
        (lambda: client.embeddings("nope", "x"), 'model "nope" not found, try pulling it first'),
        (lambda: client.show("nope"), "model 'nope:latest' not found"),
        (lambda: client.delete("nope"), "model 'nope' not found"),
        (lambda: client.copy("nope", "b"), 'model "nope" not found'),
    ):
        with pytest.raises(ollama.ResponseError) as error:
            ask()
        assert (error.value.status_code, error.value.error) == (404, text)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("embed", {"model": "test/embedder", "input": ["x"] * 2049}),
        ("embed", {"model": "test/embedder", "input": "x", "dimensions": -1}),
        ("embed", {"model": "test/embedder", "input": "x", "options": {"top_k": "many"}}),
        ("embed", {"model": "test/embedder", "input": "x", "keep_alive": "10"}),
        ("create", {"model": "x", "from": MODEL, "template": "{{ .Prompt }}"}),
        ("create", {"model": "x", "from": MODEL, "adapters": {"a.gguf": "sha256:0"}}),
        ("create", {"model": "x", "from": MODEL, "quantize": "q2_K"}),
        ("create", {"model": "x", "from": MODEL, "parameters": {"temperature": "hot"}}),
        ("create", {"model": "x", "from": MODEL, "messages": [{"role": "wizard"}]}),
        ("create", {"model": MODEL, "from": MODEL, "system": "x"}),
        ("push", {"model": MODEL}),
    ],
)
def test_what_cannot_be_meant_is_refused(stage: Stage, path: str, body: Any) -> None:
    status, _, text = stage.post(f"/api/{path}", body)
    assert status == 400
    assert set(json.loads(text)) == {"error"}
    assert stage.engine.requests == []
    assert stage.post("/api/show", {"model": "x"})[0] == 404


def test_numbers_that_json_lacks_are_an_error(stage: Stage) -> None:
    stage.plays(*embedded([float("nan")]))
    status, _, text = stage.post("/api/embed", {"model": "test/embedder", "input": "x"})
    assert (status, json.loads(text)) == (400, {"error": "embedding contains NaN or Inf values"})


def test_a_text_that_is_too_long_is_the_clients_mistake(stage: Stage, client: ollama.Client) -> None:
    stage.plays(Failed.of(ContextOverflow("It is too long. Shorten it.")))
    with pytest.raises(ollama.ResponseError) as error:
        client.embed("test/embedder", "x" * 100, truncate=False)
    assert (error.value.status_code, error.value.error) == (
        400,
        "the input length exceeds the context length",
    )


@pytest.mark.parametrize(
    ("truncate", "said"), [(True, "input after truncation exceeds"), (False, "the input length")]
)
def test_a_context_of_vectors_is_the_requests_or_the_aliass(
    stage: Stage, client: ollama.Client, truncate: bool, said: str
) -> None:
    client.create("short", from_="test/embedder", parameters={"num_ctx": 32})
    stage.plays(*embedded([1.0]))
    client.embed("short", "a")
    client.embed("short", "a", options={"num_ctx": 16})
    client.embeddings("short", "a", options={"num_ctx": 8})
    asked = [request.num_ctx for request in stage.engine.requests if isinstance(request, Embed)]
    assert asked == [32, 16, 8]
    stage.plays(Failed.of(ContextOverflow("It is too long.")))
    with pytest.raises(ollama.ResponseError, match=said):
        client.embed("short", "a", truncate=truncate)


def test_show_tells_all(stage: Stage, client: ollama.Client, folder: Path) -> None:
    """31"""
    shown = client.show(MODEL)
    assert isinstance(shown.modified_at, datetime)
    assert shown.capabilities == ["completion"]
    assert shown.template == "{{ messages }}"
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["general.parameter_count"] == 135_000_000
    assert shown.modelinfo["llama.context_length"] == 2048
    assert shown.modelinfo["llama.block_count"] == 2
    assert shown.modelinfo["llama.rope.freq_base"] == 10000.0
    assert shown.details is not None
    assert (shown.details.format, shown.details.family) == ("safetensors", "llama")
    assert (shown.details.parameter_size, shown.details.quantization_level) == ("135M", "bfloat16")
    assert f"FROM {MODEL}\n" in (shown.modelfile or "")
    assert shown.parameters == "", "a key that is always there"


def test_show_survives_a_model_without_files(stage: Stage, client: ollama.Client) -> None:
    shown = client.show("test/vision")
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.capabilities == ["completion", "vision", "audio"]


def test_show_tells_how_the_model_runs(stage: Stage) -> None:
    loaded = LoadedModel(
        name=MODEL,
        state="ready",
        device="cpu",
        size=9,
        context_length=512,
        expires_in=30,
        active=1,
        manner="batched, 4 at once",
    )
    stage.engine.models = (loaded,)
    try:
        shown = json.loads(stage.post("/api/show", {"model": MODEL})[2])
    finally:
        stage.engine.models = ()
    told = {
        "state": "ready",
        "device": "cpu",
        "size": 9,
        "context_length": 512,
        "expires_in": 30.0,
        "active": 1,
        "quantization": "none",
        "stopping": False,
        "manner": "batched, 4 at once",
    }
    assert told.items() <= shown["running"].items()
    assert json.loads(stage.post("/api/show", {"model": MODEL})[2])["running"] is None


def test_copilot_is_shown_the_name_it_asked_for(stage: Stage) -> None:
    body = {"model": f"{MODEL}:latest"}
    for agent, name in (("GitHubCopilotChat/1.0", f"{MODEL}:latest"), ("curl", "model")):
        _, _, text = stage.post("/api/show", body, {"User-Agent": agent})
        assert json.loads(text)["model_info"]["general.basename"] == name


def test_a_copy_answers_under_its_own_name(stage: Stage, client: ollama.Client) -> None:
    """33"""
    assert client.copy(MODEL, "alias:v2").status == "success"
    assert stage.post("/api/copy", {"source": MODEL, "destination": "alias:v2"})[::2] == (200, b"")
    answer = client.chat("ALIAS:v2", HELLO)
    assert (answer.model, answer.message.content) == ("ALIAS:v2", "one two three ")
    assert "alias:v2" in [model.model for model in client.list().models]


def test_a_model_is_made_of_another(stage: Stage, client: ollama.Client) -> None:
    """34"""
    frames = list(
        client.create(
            "made",
            from_=MODEL,
            system="Be brief.",
            parameters={"temperature": 0.5, "stop": ["a", "b"], "num_ctx": 256},
            messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}],
            license=["MIT", "Apache"],
            quantize="q8_0",
            stream=True,
        )
    )
    assert [frame.status for frame in frames] == [
        f"using existing layer sha256:{'0' * 64}",
        "writing manifest",
        "success",
    ]
    shown = client.show("made")
    assert shown.license == "MIT\n\nApache"
    assert shown.details is not None
    assert shown.details.quantization_level == "INT8"
    assert (shown.parameters or "").splitlines() == [
        "num_ctx                        256",
        "temperature                    0.5",
        'stop                           "a"',
        'stop                           "b"',
    ]
    for line in ('SYSTEM """Be brief."""', 'PARAMETER stop "a"', 'MESSAGE user "Hi"', 'LICENSE """MIT'):
        assert line in (shown.modelfile or "")
    client.chat("made", HELLO, options={"temperature": 0.25})
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert [message.content for message in sent.messages] == ["Be brief.", "Hi", "Yo", "one two three"]
    assert (sent.options.temperature, sent.options.num_ctx, sent.model.quantization) == (0.25, 256, "int8")


@pytest.mark.parametrize(
    ("wanted", "loaded"),
    [
        ({"quantize": "Q8_0"}, ("int8", "auto")),
        ({"quantize": "q4_K_M"}, ("int4", "auto")),
        ({"quantization": "int4"}, ("int4", "auto")),
        ({"quantize": "F16"}, ("none", "float16")),
        ({"quantize": "bf16"}, ("none", "bfloat16")),
        ({"parameters": {"dtype": "float32", "device": "cpu"}}, ("none", "float32")),
        ({"parameters": {"quantization": "int4"}, "quantize": "q8_0"}, ("int8", "auto")),
    ],
)
def test_a_precision_is_how_the_model_is_loaded(stage: Stage, wanted: Any, loaded: tuple[str, str]) -> None:
    body = {"model": "precise", "from": MODEL, "stream": False, **wanted}
    assert stage.post("/api/create", body)[0] == 200
    stage.post("/api/chat", {"model": "precise", "messages": HELLO})
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert (sent.model.quantization, sent.model.dtype) == loaded


@pytest.mark.parametrize("wrong", [{"quantization": "int3"}, {"dtype": 5}, {"json_mode": "maybe"}])
def test_a_parameter_that_loads_nothing_is_refused(stage: Stage, wrong: Any) -> None:
    status, _, text = stage.post("/api/create", {"model": "x", "from": MODEL, "parameters": wrong})
    assert (status, next(iter(wrong)) in json.loads(text)["error"]) == (400, True)


def test_what_a_session_has_set_is_shown_in_the_modelfile(stage: Stage, client: ollama.Client) -> None:
    """As Ollama's terminal asks for ``/show modelfile``."""
    client.create("shown", from_=MODEL, system="Old.", parameters={"top_k": 5, "seed": 1})
    body = {"model": "shown", "system": "New.", "template": "", "options": {"top_k": 7}}
    shown = json.loads(stage.post("/api/show", body)[2])
    assert (shown["system"], shown["parameters"].split()) == ("New.", ["top_k", "5", "seed", "1"])
    for line in ('SYSTEM """New."""', "PARAMETER top_k 7", "PARAMETER seed 1"):
        assert line in shown["modelfile"].splitlines()
    assert json.loads(stage.post("/api/show", {"model": "shown"})[2])["system"] == "Old."


def test_an_alias_was_modified_when_it_or_its_model_was(stage: Stage, client: ollama.Client) -> None:
    client.create("fresh", from_=MODEL, system="x")
    listed = {model.model: model.modified_at for model in client.list().models}
    assert client.show("fresh").modified_at == listed["fresh:latest"]
    assert client.show(MODEL).modified_at == listed[f"{MODEL}:latest"]


def test_a_model_is_made_of_itself_and_in_one_piece(stage: Stage, client: ollama.Client) -> None:
    client.create("itself", from_=MODEL, system="One.", parameters={"top_k": 5})
    assert client.create("itself", from_="itself", system="Two.").status == "success"
    shown = json.loads(stage.post("/api/show", {"model": "itself"})[2])
    assert (shown["system"], shown["parameters"].split()) == ("Two.", ["top_k", "5"])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ .System }} {{ .Prompt }}", "template is one of Go's"),
        ("{{- range $i, $_ := .Messages }}{{ .Content }}{{ end }}", "template is one of Go's"),
        ("{% if", "template is no Jinja"),
        ("{{ prompt }}", "template never reads messages"),
        ("{{ messages }}" + "x" * 65536, "template has 65550 characters; at most 65536 are taken"),
    ],
)
def test_a_template_of_a_request_is_jinja_that_shows_messages(
    client: ollama.Client, folder: Path, template: str, said: str
) -> None:
    with pytest.raises(ollama.ResponseError, match=f"^{said}") as raised:
        client.generate(MODEL, "Hello", template=template)
    assert raised.value.status_code == 400


@pytest.mark.parametrize(
    ("given", "sent"), [("{{ messages }}\n", ""), ("{{ messages }}!", "{{ messages }}!")]
)
def test_a_template_goes_to_the_engine_unless_it_is_the_models_own(
    stage: Stage, client: ollama.Client, folder: Path, given: str, sent: str
) -> None:
    client.generate(MODEL, "Hello", template=given)
    assert [asked.template for asked in stage.engine.requests if isinstance(asked, Generate)] == [sent]


def test_the_models_own_template_may_be_given(stage: Stage, client: ollama.Client, folder: Path) -> None:
    assert client.create("templated", from_=MODEL, template="{{ messages }}\n").status == "success"


def test_a_model_is_made_of_blobs(stage: Stage, client: ollama.Client, tiny_llama: Path) -> None:
    """36"""
    files = {file.name: client.create_blob(file) for file in tiny_llama.iterdir() if file.is_file()}
    one = files["config.json"]
    data = (tiny_llama / "config.json").read_bytes()
    assert stage.post(f"/api/blobs/{one}", data)[0] == 200
    assert stage.request("HEAD", f"/api/blobs/{one}")[0] == 200
    assert stage.request("HEAD", f"/api/blobs/sha256:{'0' * 64}")[0] == 404
    assert stage.request("HEAD", "/api/blobs/sha256:0")[0] == 400
    status, _, text = stage.post(f"/api/blobs/sha256:{'0' * 64}", data)
    assert (status, json.loads(text)) == (
        400,
        {"error": f'digest mismatch, expected "sha256:{"0" * 64}", got "{one}"'},
    )
    assert stage.post(f"/api/blobs/sha256:{'0' * 63}1", data + b" ")[0] == 400
    frames = list(client.create("mine", files=files, system="Mine.", stream=True))
    assert frames[0].status == "converting model"
    assert frames[-1].status == "success"
    shown = json.loads(stage.post("/api/show", {"model": "mine", "verbose": True})[2])
    assert (shown["system"], shown["details"]["family"]) == ("Mine.", "llama")
    names = {tensor["name"]: tensor for tensor in shown["tensors"]}
    assert names["model.embed_tokens.weight"]["shape"][1] == 64
    assert client.show("local/mine").template


def test_what_is_no_model_is_an_error_in_the_stream(
    stage: Stage, client: ollama.Client, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    digest = client.create_blob(tmp_path / "config.json")
    frames = stage.lines("/api/create", {"model": "bad", "files": {"config.json": digest}})
    assert frames[0] == {"status": "converting model"}
    assert set(frames[-1]) == {"error"}
    assert stage.post("/api/show", {"model": "bad"})[0] == 404


def test_show_knows_a_model_that_was_last_asked_for_by_another_name(stage: Stage) -> None:
    known = {"state": "ready", "size": 9, "context_length": 512, "expires_in": 30.0, "active": 0}
    loaded = [
        LoadedModel(name="other", id=MODEL, device="cpu", dtype=dtype, **known)  # type: ignore[arg-type]
        for dtype in ("float32", "bfloat16")
    ]
    assert stage.post("/api/create", {"model": "as-it-is", "from": MODEL})[0] == 200
    try:
        for models, found in ((loaded, "float32"), (loaded[1:], "bfloat16")):
            stage.engine.models = tuple(models)
            running = json.loads(stage.post("/api/show", {"model": "as-it-is"})[2])["running"]
            assert (running["dtype"], running["device"]) == (found, "cpu")
        stage.engine.models = (LoadedModel(name="other", id="org/else", device="cpu", **known),)  # type: ignore[arg-type]
        assert json.loads(stage.post("/api/show", {"model": "as-it-is"})[2])["running"] is None
    finally:
        stage.engine.models = ()
