"""The tables of docs/anthropic.md are the code's."""

from __future__ import annotations

import re

import msgspec

from hugweb.api.anthropic import urls
from hugweb.api.anthropic.requests import MessagesBody
from tests.serving import PROJECT

PAGE = (PROJECT / "docs" / "anthropic.md").read_text()


def test_every_route_is_documented() -> None:
    documented = set(re.findall(r"^\| `POST (/[^`]+)`", PAGE, re.MULTILINE))
    assert documented == {f"/v1/{pattern.pattern}" for pattern in urls.urlpatterns}


def test_every_field_is_documented() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert documented == {field.encode_name for field in msgspec.structs.fields(MessagesBody)}
