"""The tables of docs/ollama.md are the code's."""

from __future__ import annotations

import re

import msgspec
import pytest
from django.urls import URLPattern, resolve

from hugweb.api.extras import urls as extras
from hugweb.api.extras.reranking import RerankBody
from hugweb.api.extras.tokens import DetokenizeBody, TokenizeBody
from hugweb.api.ollama import urls
from hugweb.api.ollama.aliasing import CopyBody, CreateBody, PushBody
from hugweb.api.ollama.embedding import EmbedBody, EmbeddingsBody
from hugweb.api.ollama.pulls import DeleteBody, PullBody
from hugweb.api.ollama.requests import ChatBody, GenerateBody
from hugweb.api.ollama.show import ShowBody
from hugweb.api.options import UNUSED, parse_options
from hugweb.fallback import unknown
from inference.errors import InvalidRequest
from inference.protocol import Options
from tests.serving import PROJECT

PAGE = (PROJECT / "docs" / "ollama.md").read_text()
DIGEST = "sha256:" + "0" * 64
BODIES: dict[str, type[msgspec.Struct]] = {
    "/api/chat": ChatBody,
    "/api/generate": GenerateBody,
    "/api/embed": EmbedBody,
    "/api/embeddings": EmbeddingsBody,
    "/api/show": ShowBody,
    "/api/create": CreateBody,
    "/api/copy": CopyBody,
    "/api/push": PushBody,
    "/api/pull": PullBody,
    "/api/delete": DeleteBody,
    "/api/tokenize": TokenizeBody,
    "/api/detokenize": DetokenizeBody,
    "/api/rerank": RerankBody,
}
# Ollama's own as of v0.33: its native routes, its options, and those that clients still send.
THERE = "pull push show create copy generate chat embed embeddings version status tags ps delete"
ABSENT = (
    "me signout user/keys/x experimental/web_search experimental/web_fetch experimental/model-recommendations"
)
TAKEN = (
    "num_ctx num_predict num_keep seed temperature top_k top_p min_p typical_p repeat_last_n repeat_penalty"
    " presence_penalty frequency_penalty stop"
)
IGNORED = (
    "num_batch num_gpu main_gpu use_mmap num_thread draft_num_predict mirostat mirostat_eta mirostat_tau"
    " tfs_z penalize_newline numa low_vram f16_kv logits_all vocab_only use_mlock embedding_only"
)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under ``heading``."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def documented() -> dict[str, set[str]]:
    """The fields of each documented path."""
    return {
        re.sub(r"`\w+ (/.*)`", r"\1", endpoint): set(re.findall("`([^`]+)`", fields))
        for endpoint, fields, _ in rows("Endpoints")
    }


def test_every_route_is_documented_and_every_documented_path_is_one() -> None:
    patterns: list[URLPattern] = [*urls.urlpatterns]
    routes = {f"/api/{pattern.pattern}".replace("<str:digest>", "sha256:…") for pattern in patterns}
    routes |= {f"/{pattern.pattern}" for pattern in extras.urlpatterns if "api/" in str(pattern.pattern)}
    assert routes == set(documented())
    for path in documented():
        assert resolve(path.replace("sha256:…", DIGEST)).func.__name__ != "unknown"


def test_every_endpoint_of_ollamas_is_there_or_said_not_to_be() -> None:
    assert documented().keys() >= {f"/api/{name}" for name in THERE.split()}
    absent = PAGE.partition("Not there, a 404:")[2].partition("\n\n")[0]
    for name in ABSENT.split():
        assert f"`/api/{name.replace('keys/x', 'keys/…')}`" in absent
        assert resolve(f"/api/{name}").func is unknown


def test_every_option_of_ollamas_is_there() -> None:
    said = {name.strip("`"): meaning for name, meaning in rows("Options")}
    assert all(said[name].startswith("taken") for name in TAKEN.split())
    assert all(said[name].startswith("ignored") for name in IGNORED.split())
    assert UNUSED.keys() < set(IGNORED.split())


@pytest.mark.parametrize("path", BODIES)
def test_every_field_is_documented_where_it_is_taken(path: str) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(BODIES[path])}
    assert documented()[path] == fields


def test_paths_without_a_body_document_no_fields() -> None:
    assert {path for path, fields in documented().items() if fields} == set(BODIES)


def test_every_option_is_documented_as_it_is_taken() -> None:
    said = {name.strip("`"): meaning for name, meaning in rows("Options")}
    taken = {name for name, meaning in said.items() if meaning.startswith("taken")}
    assert taken == set(Options.__struct_fields__)
    ignored = {name for name, meaning in said.items() if meaning.startswith("ignored")}
    assert taken | ignored == set(said)
    assert parse_options(dict.fromkeys(ignored - UNUSED.keys(), "anything")) == Options()
    valid = {name: kind(1) for name, (_, _, kind) in UNUSED.items()}
    assert parse_options(valid) == parse_options(dict.fromkeys(UNUSED)) == Options()
    for name, (_, go_type, _) in UNUSED.items():
        with pytest.raises(InvalidRequest, match=f'option "{name}" must be of type {go_type}'):
            parse_options({name: "anything"})
