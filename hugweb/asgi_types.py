"""What an ASGI application is made of, for signatures.

Messages and scopes are plain mappings here: their keys are ASGI's, and asgiref's typed dictionaries
want every optional key of a message to be given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
