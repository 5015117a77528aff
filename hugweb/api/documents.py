"""Documents in requests: what they say becomes text of the prompt, with its title and what it is about.

What a file is is seen from its bytes, since clients name types as they like: text in UTF-8 is taken.
"""

from __future__ import annotations

from inference.errors import Unsupported

# Of files in the description, which has no words for UTF-8: ASCII in base64, whole groups of four.
_GROUP = "[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/]"
TEXT_FILE_PATTERN = f"(?:{_GROUP})+"


def framed(text: str, *, title: str = "", source: str = "", context: str = "") -> str:
    """``text`` as a model is shown a document. Models know such marks from what they were trained with."""
    told = {"title": title, "source": source, "context": context}
    about = "".join(f"<{name}>{value}</{name}>\n" for name, value in told.items() if value)
    return f"<document>\n{about}{text}\n</document>"


def file_text(file: bytes, place: str) -> str:
    """What ``file`` says; ``place`` is where the request has it, for errors."""
    if file.startswith(b"%PDF-"):
        raise Unsupported("PDF files are not read here: send their text.", param=place)
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unsupported("Documents must be text in UTF-8.", param=place) from error
