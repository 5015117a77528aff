"""Templates that come with requests: Jinja, as models' own are. What Ollama writes is told apart."""

from __future__ import annotations

import re

import jinja2

from aliases.selectors import Target
from hugweb.api.ollama.show import FILLS_IN
from inference.chat_jinja import reading
from inference.chat_templates import variables
from inference.errors import InvalidRequest
from inference.protocol import LONGEST_GIVEN_TEMPLATE
from inference.store.contents import template_of

EXAMPLE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# An action of Go's templates that begins as no expression of Jinja's does.
_GO = re.compile(r"\{\{-?\s*(\.|\$|(range|if|with|template|block|define)\s)")


def template_given(template: str, target: Target) -> str:
    """``template`` where it is another than the model's own, as ``/api/show`` gives it; else empty.

    ``InvalidRequest`` for one that is not Jinja or shows no messages. Reads a file.
    """
    template = template.strip().removesuffix(FILLS_IN)
    if not template or template == template_of(target.record.path).strip():
        return ""
    if len(template) > LONGEST_GIVEN_TEMPLATE:
        raise InvalidRequest(
            f"template has {len(template)} characters; at most {LONGEST_GIVEN_TEMPLATE} are taken"
        )
    try:
        reading().parse(template)
    except (jinja2.TemplateError, RecursionError) as error:
        if _GO.search(template):
            raise InvalidRequest(
                f"template is one of Go's, as Ollama's models have them; write it in Jinja: {EXAMPLE}"
            ) from error
        raise InvalidRequest(f"template is no Jinja: {str(error)[:200]}") from error
    if "messages" not in variables(template):
        raise InvalidRequest(
            f"template never reads messages, which hold system and prompt; such as: {EXAMPLE}"
        )
    return template
