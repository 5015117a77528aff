"""Between a text and the numbers of its tokens, as they are asked for, whatever the model does with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference.errors import InvalidRequest, TooLarge
from inference.protocol import Detokenize, Text, Tokenize, Tokens

# Characters of a text to tokenize: more than the longest contexts hold.
LONGEST_TEXT = 4_000_000


def tokens_of(tokenizer: Any, request: Tokenize) -> Tokens:
    """The tokens of a text, without those that the model puts around it."""
    if len(request.text) > LONGEST_TEXT:
        raise TooLarge(f"The text is {len(request.text)} characters long; at most {LONGEST_TEXT} are taken.")
    return Tokens(tokens=tuple(tokenizer(request.text, add_special_tokens=False)["input_ids"]))


def text_of(tokenizer: Any, vocabulary: int, request: Detokenize) -> Text:
    """The text of tokens, special ones included."""
    check_tokens(request.tokens, vocabulary)
    return Text(text=written(tokenizer, list(request.tokens)), tokens=len(request.tokens))


def check_tokens(tokens: Sequence[int], vocabulary: int) -> None:
    """Refuse ``tokens`` beyond those of a ``vocabulary`` of that size."""
    if any(token >= vocabulary for token in tokens):
        raise InvalidRequest("There are tokens among these that this model does not have.")


def written(tokenizer: Any, tokens: list[int], *, special: bool = True) -> str:
    """``tokens`` as text, exactly as they stand for it; without ``special``, those are left out."""
    text: str = tokenizer.decode(tokens, clean_up_tokenization_spaces=False, skip_special_tokens=not special)
    return text
