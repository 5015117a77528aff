"""What an alias adds to a request, what it stands for, and to whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError

from aliases.models import Alias
from aliases.selectors import alias_models, alias_resolve, aliases_visible
from aliases.services import Settings, alias_copy, alias_create
from aliases.target import JSON_ONLY
from inference.asker import Asker, asking
from inference.errors import Forbidden, InvalidRequest, ModelNotFound
from inference.models import ModelRecord
from inference.protocol import Generate, Message, Options, Tool


@pytest.fixture(autouse=True)
def record(db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="org/model", source="hub", folder="m", architecture="llama", digest="0", revision="abcdef1234"
    )


def alias(name: str = "small", model: str = "org/model", **fields: Any) -> Alias:
    return Alias.objects.create(name=name, model=model, **fields)


def filled(name: str = "small", **request: Any) -> Generate:
    target = alias_resolve(name)
    return target.fill(Generate(model=target.model, **request))


def test_an_alias_fills_in_what_a_request_does_not_say() -> None:
    alias(options={"temperature": 0.7, "top_p": 0.5}, json_mode=True, keep_alive="1h", quantization="int8")
    request = filled(options=Options(top_p=0.9))
    assert request.options == Options(temperature=0.7, top_p=0.9)
    assert (request.format, request.keep_alive) == ("json", 3600.0)
    assert (request.model.quantization, request.model.id, request.model.name) == (
        "int8",
        "org/model",
        "small",
    )


def test_biases_survive_being_stored_as_json() -> None:
    alias(options={"logit_bias": {"7": -1.5}})
    assert alias_copy(source="small", destination="other").options == {"logit_bias": {"7": -1.5}}
    assert filled("other").options.logit_bias == {7: -1.5}


def test_a_request_wins_over_its_alias() -> None:
    alias(json_mode=True, keep_alive="1h", options={"stop": ["a"]})
    request = filled(format='{"type":"object"}', keep_alive=0.0, options=Options(stop=("b",)))
    assert (request.format, request.keep_alive, request.options.stop) == ('{"type":"object"}', 0.0, ("b",))


def test_json_mode_says_so_to_the_model_and_leaves_calls_of_tools_alone() -> None:
    alias(json_mode=True, system="Be brief.")
    assert alias_resolve("small").system == f"Be brief.\n\n{JSON_ONLY}"
    assert filled(tools=(Tool(name="f"),)).format == ""


def test_an_alias_of_an_alias_adds_to_it() -> None:
    alias("inner", options={"top_k": 1, "top_p": 0.1}, system="inner", quantization="int4", keep_alive="1m")
    alias("outer", "INNER", options={"top_k": 2}, messages=[{"role": "user", "content": "hi"}])
    target = alias_resolve("outer")
    assert target.record.name == "org/model"
    assert target.model.name == "outer"
    assert target.options == Options(top_k=2, top_p=0.1)
    assert (target.system, target.model.quantization, target.keep_alive) == ("inner", "int4", 60.0)
    assert target.messages == (Message(role="user", content="hi"),)
    assert alias_models(Alias.objects.all()) == {"inner": "org/model", "outer": "org/model"}


def test_chains_and_cycles_are_refused() -> None:
    alias("one")
    alias("two", "one")
    with pytest.raises(ValidationError, match="names an alias itself"):
        Alias(name="three", model="two").full_clean()
    with pytest.raises(ValidationError, match="stand for itself"):
        Alias(name="four", model="FOUR").full_clean()
    one = Alias.objects.get(name="one")
    one.model = "two"
    with pytest.raises(ValidationError):
        one.full_clean()
    one.model = alias("zero").name
    with pytest.raises(ValidationError, match="Another alias names this one"):
        one.full_clean()


def test_rows_that_make_a_cycle_all_the_same_are_not_found() -> None:
    alias("a", "b")
    alias("b", "a")
    with pytest.raises(ModelNotFound):
        alias_resolve("a")


def test_a_revision_is_held_to() -> None:
    alias("right", revision="abcdef")
    alias("wrong", revision="123")
    assert alias_resolve("right").record.revision == "abcdef1234"
    with pytest.raises(ModelNotFound):
        alias_resolve("wrong")


def test_the_first_fallback_that_is_here_answers() -> None:
    alias("spare", options={"top_k": 3})
    alias("main", "org/gone", fallbacks=["org/gone-too", "spare", "org/model"])
    assert alias_resolve("main").options == Options(top_k=3)
    alias("loop", "org/gone", fallbacks=["loop"])
    with pytest.raises(ModelNotFound, match="model 'loop' not found"):
        alias_resolve("loop")


def test_a_disabled_alias_is_not_there() -> None:
    alias(enabled=False)
    with pytest.raises(ModelNotFound):
        alias_resolve("small")


def test_an_alias_for_some_is_there_for_them_alone() -> None:
    ann, bob, eve = (User.objects.create_user(name) for name in ("ann", "bob", "eve"))
    boss = User.objects.create_superuser("boss")
    team = Group.objects.create(name="team")
    bob.groups.add(team)
    private = alias(visibility="some")
    private.users.add(ann)
    private.groups.add(team)
    for user, sees in ((ann, True), (bob, True), (eve, False), (boss, True)):
        with asking(Asker(user=user.pk)):
            assert aliases_visible(user.pk).filter(name="small").count() == sees
            if sees:
                alias_resolve("small")
            else:
                with pytest.raises(ModelNotFound, match="^model 'small' not found$"):
                    alias_resolve("small")
    assert alias_resolve("small").alias == private


def test_a_key_for_some_models_opens_no_others() -> None:
    alias("small")
    alias("large")
    with asking(Asker(models=("small",))):
        alias_resolve("Small:latest")
        for name in ("large", "org/model"):
            with pytest.raises(Forbidden, match=f"may not ask for '{name}'"):
                alias_resolve(name)
    with asking(Asker(models=("org/model",))):
        alias_resolve("large")


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_alive": "soon"},
        {"fallbacks": ["not a name"]},
        {"fallbacks": "small"},
        {"fallbacks": ["a"] * 9},
        {"options": {"temperature": float("nan")}},
        {"visibility": "nobody"},
        {"messages": [{"role": "narrator", "content": "x"}]},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Alias(name="small", model="org/model", **wrong).full_clean()


def test_copies_take_the_defaults_along_and_services_refuse_like_the_form() -> None:
    alias(json_mode=True, keep_alive="2m", fallbacks=["spare"], options={"seed": 1})
    copied = alias_copy(source="small", destination="other")
    assert (copied.json_mode, copied.keep_alive, copied.fallbacks) == (True, "2m", ["spare"])
    with pytest.raises(InvalidRequest, match="duration"):
        alias_create(name="third", source="small", settings=Settings(keep_alive="soon"))
