"""The root, unknown paths and Django's error handlers, through Django."""

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.test import AsyncRequestFactory

from hugweb import fallback

APIS = ["/api/x", "/v1/x", "/v1/messages/x"]


@pytest.fixture
def request_for():
    return AsyncRequestFactory().post


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("method", ["get", "post", "delete", "options"])
@pytest.mark.parametrize("debug", [False, True])
async def test_an_unknown_api_path_is_json_also_when_debugging(async_client, settings, path, method, debug):
    settings.DEBUG = debug
    answer = await getattr(async_client, method)(path)
    assert answer.status_code == 404
    assert "404 page not found" in str(answer.json()["error"])


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/api/tags/", "/api/tags"),
        ("/api//chat//", "/api/chat"),
        ("/v1/models/?a=b", "/v1/models?a=b"),
        ("/api//blobs/sha256:a%20b", "/api/blobs/sha256:a%20b"),
    ],
)
@pytest.mark.parametrize(("method", "status"), [("get", 301), ("head", 307), ("post", 307), ("delete", 307)])
async def test_slashes_too_many_lead_to_what_is_meant(async_client, path, meant, method, status):
    answer = await getattr(async_client, method)(path)
    assert (answer.status_code, answer["Location"]) == (status, meant)
    assert "Content-Type" not in answer


@pytest.mark.parametrize("path", ["/api/nothing/", "/api//", "/v1//nothing"])
async def test_slashes_too_many_of_nothing_are_not_found(async_client, path):
    answer = await async_client.post(path)
    assert answer.status_code == 404
    assert "404 page not found" in str(answer.json()["error"])


async def test_an_unknown_page_is_a_page(async_client):
    answer = await async_client.get("/no/such/page", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


async def test_the_root_takes_only_what_reads(async_client):
    answer = await async_client.post("/")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert answer.json() == {"error": "405 method not allowed"}


@pytest.mark.parametrize(
    ("handler", "exception", "status"),
    [
        (fallback.bad_request, SuspiciousOperation("secret"), 400),
        (fallback.bad_request, RequestDataTooBig("secret"), 413),
        (fallback.forbidden, PermissionDenied("secret"), 403),
        (fallback.not_found, Exception("secret"), 404),
        (fallback.server_error, None, 500),
    ],
)
@pytest.mark.parametrize("path", [*APIS, "/page"])
def test_every_handler_answers_in_the_paths_own_way(request_for, handler, exception, status, path):
    arguments = [exception] if exception else []
    accept = "text/html,*/*" if path == "/page" else "*/*"
    answer = handler(request_for(path, headers={"Accept": accept}), *arguments)
    body = answer.content.decode()
    if path == "/page":
        assert answer.status_code == (400 if status == 413 else status)
        assert answer["Content-Type"].startswith("text/html")
    else:
        assert answer.status_code == status
        assert answer["Content-Type"] == "application/json"
        assert "secret" not in body
