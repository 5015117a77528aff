"""What stands before the messages of a request: a system prompt, and an alias's own messages."""

from __future__ import annotations

from msgspec.structs import replace

from aliases.target import Target
from inference.protocol import Message


def prefaced(messages: tuple[Message, ...], target: Target, system: str = "") -> tuple[Message, ...]:
    """``messages`` after ``target``'s own, all after one system prompt.

    That is ``system`` and the one with which ``messages`` begin, else the alias's, if any.
    """
    if messages and messages[0].role == "system":
        both = "\n\n".join(filter(None, (system, messages[0].content)))
        return (replace(messages[0], content=both), *target.messages, *messages[1:])
    system = system or target.system
    first = (Message(role="system", content=system),) if system else ()
    return (*first, *target.messages, *messages)
