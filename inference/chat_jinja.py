"""Jinja as chat templates expect it: the environment of transformers, once to read and once to render.

To read is safe anywhere: nothing of a template runs. To render is not, and is for
``inference.engine.template_worker`` alone: a template can loop and grow for as long as it is let.
Source: transformers' documentation of chat templates ("Advanced template writing").
"""

from __future__ import annotations

import datetime
import json
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

LONGEST_TEMPLATE = 2**20


class _Generation(Extension):
    """transformers' ``{% generation %}`` block, which marks what the model wrote: its body counts."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Environment(ImmutableSandboxedEnvironment):
    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])


class _Unevaluated(_Environment):
    """For reading: Jinja's compiler computes what is constant, and ``9 ** (9 ** 9)`` is. What asks for a
    context is not, nor is an operator that is intercepted."""

    intercepted_binops = frozenset(_Environment.default_binop_table)
    intercepted_unops = frozenset(_Environment.default_unop_table)

    def __init__(self) -> None:
        super().__init__()
        self.filters = dict.fromkeys(self.filters, _never_called)
        self.tests = dict.fromkeys(self.tests, _never_called)


@pass_context
def _never_called(*given: Any) -> NoReturn:
    raise AssertionError("Nothing is rendered here.")


@lru_cache(1)
def reading() -> ImmutableSandboxedEnvironment:
    """The environment that parses templates, and cannot render them."""
    return _Unevaluated()


@lru_cache(1)
def rendering() -> ImmutableSandboxedEnvironment:
    """The environment that renders templates, with everything that transformers gives them."""
    environment = _Environment()
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models read it; Jinja's own filter escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)


class _Dict:
    """``dict`` without the attributes of a class."""

    def __call__(self, *items: Any, **named: Any) -> dict[Any, Any]:
        return dict(*items, **named)

    def fromkeys(self, keys: Any, value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


class _Namespace(Namespace):
    """A namespace that holds no name with an underscore before it: the sandbox trusts those to be ours."""

    def __init__(*args: Any, **named: Any) -> None:  # a name may be "self"
        held = dict(*args[1:], **named)
        for name in held:
            _refuse_inner(name)
        Namespace.__init__(args[0], held)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_inner(name)
        super().__setitem__(name, value)


def _refuse_inner(name: Any) -> None:
    if str(name).startswith("_"):
        raise jinja2.exceptions.SecurityError(
            f"A namespace cannot hold {name!r}: it begins with an underscore."
        )
