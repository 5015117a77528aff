"""Calls as one JSON list between two marks, as several families write them.

- Nemotron Nano 2 and Super 1.5: ``<TOOLCALL>[{"name": "…", "arguments": {…}}]</TOOLCALL>``.
- Hunyuan A13B: ``<tool_calls>[{"name": "…", "arguments": {…}}]</tool_calls>``.
- Granite 3: ``<|tool_call|>[…]``; 3.1 may write ``<tool_call>`` instead. Granite 4 writes as Hermes does.
- Phi 4 mini: ``<|tool_call|>[…]<|/tool_call|>``, or an object without the list.
- Command R7B: ``<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "…", "parameters": {…}}]<|END_ACTION|>``.

Source: the chat templates of Nemotron Nano 2, Granite 3.0 to 3.3 and Command R7B, the one for Phi 4 mini that
llama.cpp brings, and for Hunyuan what vLLM's parser reads.
"""

from __future__ import annotations

import json

from inference.engine.answers.mistral import MistralList
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool


class Listed(MistralList):
    """Mistral's older way between two marks."""

    def __init__(self, opening: str, closing: str) -> None:
        self.openings = (opening,)
        self.strays = (closing,)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (self.openings[0], "["), (", ",), ("]", *self.strays)


class Granite(MistralList):
    """The same without a mark at its end, but for Phi's."""

    openings = ("<|tool_call|>", "<tool_call>")
    strays = ("</tool_call>", "<|/tool_call|>")


class Command(Listed):
    """Cohere's, whose calls are numbered."""

    def call(self, tool: Tool) -> Parts:
        head = f'{{"tool_call_id": "0", "tool_name": {json.dumps(tool.name)}, "parameters": '
        return (head, Json(tool.parameters), "}")


NEMOTRON = Listed("<TOOLCALL>", "</TOOLCALL>")
HUNYUAN = Listed("<tool_calls>", "</tool_calls>")
COMMAND = Command("<|START_ACTION|>", "<|END_ACTION|>")
