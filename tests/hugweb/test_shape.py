import json

import pytest

from hugweb.api.shape import dialect_of, error_body, error_frame, error_response, wants_page
from inference.errors import (
    Busy,
    ContextOverflow,
    EngineDied,
    Forbidden,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthorized,
)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/", "ollama"),
        ("/api", "ollama"),
        ("/api/chat", "ollama"),
        ("/api/blobs/sha256:0", "ollama"),
        ("/v1", "openai"),
        ("/v1/chat/completions", "openai"),
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1/messagesx", "openai"),
        ("/apix", None),
        ("//api/chat", None),
        ("/chat/", None),
        ("/static/v1", None),
        ("/ws/chat/", None),
        ("*", None),
        ("", None),
    ],
)
def test_every_path_has_one_dialect_or_none(path, dialect):
    assert dialect_of(path) == dialect


def test_ollamas_errors_are_flat():
    assert error_body("/api/chat", NotFound("model 'x' not found")) == {"error": "model 'x' not found"}


@pytest.mark.parametrize(
    ("error", "kind", "code", "param"),
    [
        (InvalidRequest("no"), "invalid_request_error", None, None),
        (InvalidRequest("no", param="messages[0]"), "invalid_request_error", None, "messages[0]"),
        (ContextOverflow("no"), "invalid_request_error", "context_length_exceeded", None),
        (Unauthorized("no"), "authentication_error", "invalid_api_key", None),
        (Forbidden("no"), "permission_error", None, None),
        (NotFound("no"), "not_found_error", None, None),
        (ModelNotFound("no"), "not_found_error", "model_not_found", None),
        (TooLarge("no"), "invalid_request_error", None, None),
        (Busy("no"), "api_error", None, None),
        (EngineDied("no"), "api_error", None, None),
    ],
)
def test_openais_errors_have_a_type_and_say_which_field_is_wrong(error, kind, code, param):
    assert error_body("/v1/models", error) == {
        "error": {"message": "no", "type": kind, "param": param, "code": code}
    }


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("no"), "invalid_request_error"),
        (TooLarge("no"), "request_too_large"),
        (Busy("no"), "overloaded_error"),
        (EngineDied("no"), "api_error"),
    ],
)
def test_anthropics_errors_have_a_type_and_a_request_id(error, kind):
    body = error_body("/v1/messages", error)
    assert body.pop("request_id").startswith("req_")
    assert body == {"type": "error", "error": {"type": kind, "message": "no"}}


def test_a_response_has_the_errors_status_and_says_when_to_come_back():
    response = error_response("/api/chat", Busy())
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response["Content-Type"] == "application/json"
    assert json.loads(response.content) == error_body("/api/chat", Busy())


def test_only_503_says_when_to_come_back():
    assert "Retry-After" not in error_response("/api/chat", EngineDied())


def test_outside_of_the_apis_an_error_is_plain_text():
    response = error_response("/chat/", Forbidden("no <b>"))
    assert response["Content-Type"].startswith("text/plain")
    assert response.content == b"no <b>"


def test_an_error_inside_a_stream_is_a_frame_of_that_stream():
    assert json.loads(error_frame("/api/chat", Busy("no"))) == {"error": "no"}
    assert error_frame("/api/chat", Busy("no")).endswith(b"\n")
    openai = error_frame("/v1/chat/completions", Busy("no"))
    assert json.loads(openai.removeprefix(b"data: "))["error"]["message"] == "no"
    assert openai.endswith(b"\n\n")
    assert error_frame("/v1/messages", Busy("no")).startswith(b"event: error\ndata: {")


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
    ],
)
def test_a_browser_is_known_by_what_it_accepts(accept, page):
    assert wants_page(accept) is page


def test_who_asks_too_often_is_told_how_long_to_wait():
    error = RateLimited.after(56.2)
    assert error_response("/v1/models", error)["Retry-After"] == "57"
    assert "57 s" in error.message
