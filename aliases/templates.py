"""A chat template that stands in for a model's own: what one may be, and how one that may not is told.

Templates are Jinja, as Hugging Face models have them; they are parsed here, never run. Ollama's are
Go's, and are told apart so that the message can say what to write instead.
"""

from __future__ import annotations

import re

from inference.chat_templates import syntax_error, variables
from inference.errors import InvalidRequest
from inference.protocol import LONGEST_GIVEN_TEMPLATE

# Continue takes a model for one that fills in if its template speaks of a suffix, in Ollama's way: what is
# shown of such models ends with this.
FILLS_IN = "{#- .Suffix -#}"
EXAMPLE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# An action of Go's templates that begins as no expression of Jinja's does.
_GO = re.compile(r"\{\{-?\s*(\.|\$|(range|if|with|template|block|define)\s)")


def template_checked(template: str) -> str:
    """``template`` without what is ours; ``InvalidRequest`` for one that is no Jinja or shows no messages."""
    template = template.removesuffix(FILLS_IN)
    if not template.strip():
        return ""
    if len(template) > LONGEST_GIVEN_TEMPLATE:
        raise InvalidRequest(
            f"template has {len(template)} characters; at most {LONGEST_GIVEN_TEMPLATE} are taken"
        )
    wrong = syntax_error(template)
    if not wrong and "messages" in variables(template):
        return template
    if _GO.search(template):
        raise InvalidRequest(
            "template is one of Go's, as Ollama's models have them. Leave it out, for the model's own, "
            f"or write it in Jinja: {EXAMPLE}"
        )
    if wrong:
        raise InvalidRequest(f"template is no Jinja: {wrong}")
    raise InvalidRequest(f"template never reads messages. Write one such as: {EXAMPLE}")
