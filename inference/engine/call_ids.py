"""Ids of calls as a model's chat template wants them: what clients send may be anything."""

from __future__ import annotations

import hashlib

from inference.protocol import ToolCall

# Mistral's templates want ids of this many letters and digits, and nothing else.
SHORT_ID = 9
MISTRAL = "[TOOL_CALLS]"
# Kimi's ids say what is called: the name, and its number in the conversation.
KIMI = "<|tool_call_argument_begin|>"


class CallIds:
    """The ids of one conversation, for the template ``source``."""

    def __init__(self, source: str = "") -> None:
        self._short = MISTRAL in source
        self._numbered = KIMI in source
        self._numbers: dict[tuple[str, str], int] = {}

    def shown(self, call: ToolCall) -> str:
        """What the template is given as the id of ``call``; the same for its result."""
        if self._short:
            return hashlib.sha256(call.id.encode()).hexdigest()[:SHORT_ID]
        if self._numbered:
            number = self._numbers.setdefault((call.id, call.name), len(self._numbers))
            return f"functions.{call.name}:{number}"
        return call.id
