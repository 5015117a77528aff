"""What a model's chat template and its tokens say of the model: thinking, tools, filling in.

Read by the store, which writes down what a model can do, and by the engine, which does it: one
table for both. Pure work on Jinja's source; templates are parsed here, never run. Knows nothing of
tokenizers, of Django and of torch.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple

import jinja2
from jinja2 import meta

from inference.chat_jinja import LONGEST_TEMPLATE, reading

TOOLS = "tools"
# SmolLM3 has two places for tools: those that are called in JSON come here.
JSON_TOOLS = "xml_tools"
# Variables that switch thinking on and off, and the one that says how hard to think. Each name is
# that of some family: Qwen 3 and most others, DeepSeek V3.1 and Granite, gpt-oss.
SWITCHES = frozenset({"enable_thinking", "thinking"})
EFFORT = "reasoning_effort"


class Tags(NamedTuple):
    """What stands before and after a thought."""

    opening: str
    closing: str


class Infill(NamedTuple):
    """The tokens of a model that fills in: before the text that stands first, before the one that
    stands last, and before the one that is wanted."""

    prefix: str
    suffix: str
    middle: str


THOUGHTS = (
    Tags("<think>", "</think>"),
    Tags("[THINK]", "[/THINK]"),
    Tags("<seed:think>", "</seed:think>"),
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),
    Tags("<|channel>", "<channel|>"),
)
# What follows an opening mark and is no part of the thought: Gemma 4's channel has a name.
THOUGHT_NAMES = {"<|channel>": "thought\n"}
# Marks around what is said after a thought: of Hunyuan A13B, which are text; of ERNIE 4.5 and Command R7B,
# which are tokens of their own. Others write those of ERNIE around what tools say.
WRAPPINGS = (
    Tags("<answer>", "</answer>"),
    Tags("<response>", "</response>"),
    Tags("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
# gpt-oss writes channels instead of tags; thoughts are in one of them.
CHANNEL = "<|channel|>"

INFILLS = (
    Infill("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    Infill("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    Infill("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    Infill("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    Infill("▁<PRE>", "▁<SUF>", "▁<MID>"),
)


def takes_tools(source: str) -> bool:
    """Whether the template shows tools to the model."""
    return not variables(source).isdisjoint({TOOLS, JSON_TOOLS})


def thinks(source: str) -> bool:
    """Whether the template speaks of thinking: by a switch, or by the marks of thoughts."""
    known = variables(source)
    return bool(SWITCHES & known) or EFFORT in known or thought_tags(source) is not None or CHANNEL in source


def thought_tags(source: str) -> Tags | None:
    """The marks of thoughts that the template knows; either alone tells."""
    return next((tags for tags in THOUGHTS if tags.opening in source or tags.closing in source), None)


def wrapping_tags(source: str, tokens: Container[str]) -> Tags | None:
    """The marks around what a thinking model says, by its template and the ``tokens`` that it has added."""
    if thought_tags(source) is None:
        return None
    own = [tags for tags in WRAPPINGS if all(tag in tokens for tag in tags)]
    textual = WRAPPINGS[0]
    return next(iter(own), textual if all(tag in source for tag in textual) else None)


def infill_tokens(vocabulary: Container[str]) -> Infill | None:
    """The tokens with which the model fills in, where its vocabulary has all three."""
    return next((infill for infill in INFILLS if all(token in vocabulary for token in infill)), None)


@lru_cache(64)
def variables(source: str) -> frozenset[str]:
    """The variables that the template expects; none of one that cannot be parsed."""
    if len(source) > LONGEST_TEMPLATE:
        return frozenset()
    try:
        return frozenset(meta.find_undeclared_variables(reading().parse(source)))
    except (jinja2.TemplateError, RecursionError):
        return frozenset()


def syntax_error(source: str) -> str:
    """What keeps ``source`` from being a template, in Jinja's words; empty for nothing."""
    try:
        reading().parse(source)
    except (jinja2.TemplateError, RecursionError) as error:
        return str(error)[:200] or type(error).__name__
    return ""
