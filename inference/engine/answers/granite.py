"""Calls as Granite 3 writes them: ``<|tool_call|>`` and a JSON list of all.

``<|tool_call|>[{"name": "…", "arguments": {…}}]``; 3.1 may write ``<tool_call>`` instead. Granite 4 writes as
Hermes does. Source: the chat templates of Granite 3.0 to 3.3.
"""

from __future__ import annotations

from inference.engine.answers.mistral import MistralList


class Granite(MistralList):
    """Mistral's older way after another mark."""

    openings = ("<|tool_call|>", "<tool_call>")
    strays = ("</tool_call>",)
