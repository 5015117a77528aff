from __future__ import annotations

import json

import pytest
import torch

from inference.engine.grammar import TRIALS, GrammarBuilder
from inference.engine.row import Row
from inference.engine.rows import DEFAULTS
from inference.engine.sampler import BatchSampler
from inference.engine.schemas import check_depth, closed
from inference.engine.shape import Shape
from inference.errors import InferenceError, InvalidRequest
from inference.protocol import Options
from tests.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
END = TOKENIZER.eos_token_id
BUILDER = GrammarBuilder(TOKENIZER, len(TOKENIZER), frozenset({END}))
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "blue", "😀"]},
            "sure": {"type": "boolean"},
            "count": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["colour", "sure", "count"],
        "additionalProperties": False,
    }
)


def noise(wanted: str, seed: int, *, limit: int = 400, temperature: float = 1.0) -> tuple[str, Row]:
    """What a model that says anything at random says within the format."""
    random = torch.Generator().manual_seed(seed)
    row = Row(
        prompt=[5],
        options=Options(temperature=temperature, top_k=0, top_p=1.0, seed=seed).over(DEFAULTS),
        limit=limit,
        ends=frozenset({END}),
        decode=lambda tokens: TOKENIZER.decode(tokens, skip_special_tokens=True),
        deliver=lambda events: None,
        grammar=BUILDER.build(Shape(format=wanted)),
    )
    sampler = BatchSampler()
    while row.stage < 3:
        logits = torch.randn(1, len(TOKENIZER), generator=random)
        row.accept(sampler.draw(logits, [row])[0])
    return TOKENIZER.decode(row.tokens[1:], skip_special_tokens=True), row


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_noise_within_a_schema_validates(seed: int, temperature: float) -> None:
    text, row = noise(SCHEMA, seed, temperature=temperature)
    assert row.tokens[1:][-1] == END
    answer = json.loads(text)
    assert set(answer) == {"colour", "sure", "count"}
    assert answer["colour"] in {"red", "blue", "😀"}
    assert answer["sure"] in {True, False}
    assert 0 <= answer["count"] <= 99


@pytest.mark.parametrize("seed", range(6))
def test_json_mode_gives_an_object(seed: int) -> None:
    text, row = noise("json", seed, limit=3000)
    if row.tokens[1:][-1] == END:
        assert isinstance(json.loads(text), dict)
    else:
        assert text.startswith("{")


def test_no_format_is_no_grammar() -> None:
    assert BUILDER.build(Shape()) is None


@pytest.mark.parametrize(
    "schema", ["[]", "1", "not json", '{"type": "banana"}', '{"properties": 1}', '{"$ref": "#/nowhere"}']
)
def test_what_is_no_schema_is_refused(schema: str) -> None:
    with pytest.raises(InvalidRequest, match="JSON Schema"):
        BUILDER.build(Shape(format=schema))


def test_two_answers_of_one_schema_do_not_share_their_state() -> None:
    first, second = BUILDER.build(Shape(format=SCHEMA)), BUILDER.build(Shape(format=SCHEMA))
    assert first is not None
    assert second is not None
    opening = int(first.allowed().nonzero()[0])
    first.accept(opening)
    assert second.allowed()[opening]
    assert not torch.equal(first.allowed(), second.allowed())


def test_a_token_that_must_not_follow_is_an_error_and_stays_one() -> None:
    grammar = BUILDER.build(Shape(format=SCHEMA))
    assert grammar is not None
    with pytest.raises(InferenceError):
        grammar.accept(int((~grammar.allowed()).nonzero()[0]))
    assert grammar.allowed().all()
    with pytest.raises(InferenceError):
        grammar.accept(5)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {"a": {}}}, {"properties": {"a": {}}, "additionalProperties": False}),
        ({"properties": {}, "additionalProperties": True}, {"properties": {}, "additionalProperties": True}),
        ({"type": "object"}, {"type": "object"}),
        (
            {"items": {"properties": {"properties": {"type": "string"}}}},
            {"items": {"properties": {"properties": {"type": "string"}}, "additionalProperties": False}},
        ),
        (
            {"$defs": {"x": {"properties": {}}}, "anyOf": [{"$ref": "#/$defs/x"}, {"properties": {}}]},
            {
                "$defs": {"x": {"properties": {}, "additionalProperties": False}},
                "anyOf": [{"$ref": "#/$defs/x"}, {"properties": {}, "additionalProperties": False}],
            },
        ),
        (
            {"allOf": [{"properties": {}}], "properties": {}},
            {"allOf": [{"properties": {}}], "properties": {}},
        ),
        ({"enum": [{"properties": {}}]}, {"enum": [{"properties": {}}]}),
        (True, True),
    ],
)
def test_objects_have_the_properties_they_list(schema: object, expected: object) -> None:
    assert closed(schema) == expected


def test_schemas_have_a_depth() -> None:
    schema: object = {}
    for _ in range(31):
        schema = {"items": schema}
    check_depth(schema)
    with pytest.raises(InvalidRequest, match="deeper than 32"):
        check_depth([schema])


def patterns(count: int) -> dict[str, object]:
    """A string that must match so many patterns at once: each two more take five times as long to compile."""
    return {
        "allOf": [
            {"type": "string", "pattern": f".*{letter}.*"} for letter in "abcdefghijklmnopqrstuvwxyz"[:count]
        ]
    }


def test_a_schema_that_computes_without_end_is_refused() -> None:
    builder = GrammarBuilder(TOKENIZER, len(TOKENIZER), frozenset({END}), seconds=0.3)
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="takes too long to follow"):
            builder.build(Shape(format=json.dumps(patterns(26))))
    assert builder.build(Shape(format="json")), "and the next is tried by another process"


def test_a_schema_that_a_stalled_machine_did_not_try_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = GrammarBuilder(TOKENIZER, len(TOKENIZER), frozenset({END}), seconds=20.0)
    shape = Shape(format=json.dumps({"type": "string"}))
    with monkeypatch.context() as stalled:
        stalled.setattr("inference.isolated.PATIENCE_SECONDS", 1e-6)
        TRIALS.close()
        with pytest.raises(InvalidRequest, match="takes too long to follow"):
            builder.build(shape)
    assert builder.build(shape)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{index}": {"type": "string"} for index in range(1500)}},
        {"$ref": "#"},
    ],
)
def test_a_schema_that_is_too_large_for_a_step_is_the_requests_mistake(schema: object) -> None:
    with pytest.raises(InvalidRequest, match="too large, or has no end"):
        noise(json.dumps(schema), seed=0)


def test_a_schema_without_an_end_is_refused_before_the_first_token() -> None:
    with pytest.raises(InvalidRequest, match="has no end"):
        BUILDER.build(Shape(format='{"$ref": "#"}'))
