"""The items of a request as they are kept and listed: with an id, a status, and what is said in parts."""

from __future__ import annotations

from typing import Any

from hugweb.api.openai.frames import Frame
from hugweb.api.openai.responses.items import Item
from hugweb.api.openai.responses.output import COMPLETED
from hugweb.api.openai.responses.references import REFERENCE, is_reference
from hugweb.api.openai.stored.ids import new_item_id

_PREFIXES = {"reasoning": "rs_", "function_call": "fc_", "function_call_output": "fco_"}


def kept(item: dict[str, Any], response: str) -> Frame:
    """``item`` of ``response``, which nobody has checked yet, without what nobody will read."""
    if is_reference(item):
        return {"type": REFERENCE, "id": item.get("id", "")}
    known = {
        name: value for name, value in item.items() if name in Item.__struct_fields__ and value is not None
    }
    kind = str(known.get("type", "message"))
    whole = {
        "type": kind,
        "id": new_item_id(_PREFIXES.get(kind, "msg_"), response),
        "status": COMPLETED,
    } | known
    if kind == "message" and isinstance(text := whole.get("content"), str):
        whole["content"] = [_part(text, whole.get("role"))]
    return whole


def _part(text: str, role: Any) -> Frame:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}
