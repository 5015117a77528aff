from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from msgspec.structs import replace

from aliases.models import Alias
from aliases.selectors import alias_resolve
from aliases.services import AliasHeld, Settings, alias_change, alias_copy, alias_create, alias_delete
from inference.asker import Asker, asking
from inference.errors import InvalidRequest, ModelNotFound
from inference.models import ModelRecord
from inference.protocol import Message, Options


@pytest.fixture(autouse=True)
def record(db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="Org/Model-1B", source="store", folder="Org/Model-1B", architecture="llama", digest="0" * 64
    )


FULL = Settings(
    system="Be brief.",
    messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Yo")),
    options=Options(temperature=0.1, top_k=7),
    quantization="int8",
    license="MIT",
)
FULLER = replace(
    FULL,
    dtype="float32",
    device="cpu",
    template="{{ messages }}",
    json_mode=True,
    keep_alive="90s",
    fallbacks=("other",),
)


def test_an_alias_says_what_it_was_given(record: ModelRecord) -> None:
    alias_create(name="Small:latest", source="org/model-1b", settings=FULL)
    target = alias_resolve("small")
    assert target.record == record
    assert (target.model.name, target.model.quantization) == ("Small", "int8")
    assert (target.system, target.options, target.messages) == (FULL.system, FULL.options, FULL.messages)


@pytest.mark.parametrize("name", ["small", "small:8b", "me/small", "me/small:Q4.0", "_x"])
def test_names_are_ollamas(name: str) -> None:
    alias_create(name=name, source="org/model-1b")
    assert alias_resolve(name.upper()).model.name == name


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b/c/d", "-x", "a" * 81, "x:"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="^invalid model name$"):
        alias_create(name=name, source="org/model-1b")


def test_a_models_name_is_taken() -> None:
    with pytest.raises(InvalidRequest, match="Choose another name"):
        alias_create(name="ORG/model-1b", source="org/model-1b")
    assert not Alias.objects.exists()


@pytest.mark.parametrize("old", [{"revision": "abc"}, {"enabled": False}])
def test_an_alias_that_is_made_again_answers_again(old: dict[str, object]) -> None:
    Alias.objects.create(name="small", model="org/gone", **old)
    alias_create(name="small", source="org/model-1b")
    assert alias_resolve("small").model.name == "small"


def test_a_copy_is_held_to_the_same_commit(record: ModelRecord) -> None:
    ModelRecord.objects.update(revision="abc1")
    Alias.objects.create(name="pinned", model=record.name, revision="abc")
    Alias.objects.create(name="over", model="pinned", system="Be brief.")
    for source in ("pinned", "over"):
        alias_copy(source=source, destination=f"{source}-copy")
        assert alias_resolve(f"{source}-copy").record == record
    ModelRecord.objects.update(revision="def2")
    for name in ("pinned-copy", "over-copy"):
        with pytest.raises(ModelNotFound):
            alias_resolve(name)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_copy_is_for_the_same_people(record: ModelRecord, *, is_there: bool) -> None:
    ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
    group = Group.objects.create(name="few")
    secret = Alias.objects.create(name="secret", model=record.name, visibility="some")
    secret.users.add(ann)
    secret.groups.add(group)
    if is_there:
        alias_create(name="copy", source=record.name)
    copy = alias_copy(source="secret", destination="copy")
    assert (list(copy.users.all()), list(copy.groups.all())) == ([ann], [group])
    with asking(Asker(user=ann.pk)):
        assert alias_resolve("copy").model.name == "copy"
    with asking(Asker(user=bob.pk)), pytest.raises(ModelNotFound):
        alias_resolve("copy")


def test_an_older_alias_is_replaced_as_a_whole() -> None:
    alias_create(name="small", source="org/model-1b", settings=FULL)
    alias_create(name="SMALL", source="org/model-1b", settings=Settings(system="New."))
    alias = Alias.objects.get()
    assert (alias.name, alias.system, alias.options, alias.quantization) == ("SMALL", "New.", {}, "none")


def test_an_alias_of_an_alias_begins_with_what_that_says() -> None:
    alias_create(name="one", source="org/model-1b", settings=FULL)
    alias_create(name="two", source="one", settings=Settings(system="", options=Options(top_k=9)))
    alias_create(name="one", source="org/model-1b")
    target = alias_resolve("two")
    assert target.system == ""
    assert target.options == Options(temperature=0.1, top_k=9)
    assert (target.messages, target.model.quantization) == (FULL.messages, "int8")


@pytest.mark.parametrize("copy", [True, False])
def test_what_an_alias_adds_to_is_copied_with_it(*, copy: bool) -> None:
    alias_create(name="inner", source="org/model-1b", settings=FULLER)
    Alias.objects.create(name="outer", model="inner", options={"top_k": 9}, description="Outer.")
    if copy:
        alias_copy(source="outer", destination="third")
    else:
        alias_create(name="third", source="outer", settings=Settings(options=Options(seed=3)))
    outer, third = alias_resolve("outer"), alias_resolve("third")
    assert third.alias and (third.alias.model, third.alias.description) == ("Org/Model-1B", "Outer.")
    assert third.options == (outer.options if copy else Options(seed=3).over(outer.options))
    for name in ("system", "messages", "template", "format", "keep_alive", "fallbacks"):
        assert getattr(third, name) == getattr(outer, name), name
    assert third.model == replace(outer.model, name="third")


@pytest.mark.parametrize("name", ["outer", "OUTER:latest", "Org/Model-1B"])
def test_what_is_copied_onto_itself_stays_as_it_is(name: str) -> None:
    alias_create(name="inner", source="org/model-1b", settings=FULL)
    Alias.objects.create(name="outer", model="inner")
    before = list(Alias.objects.values())
    alias_copy(source=name, destination=name.lower())
    assert list(Alias.objects.values()) == before
    with pytest.raises(ModelNotFound):
        alias_copy(source="nope", destination="nope")


def test_an_alias_may_be_made_of_itself() -> None:
    """What ``/save`` and Open WebUI do with a model that they change."""
    alias_create(name="one", source="org/model-1b", settings=FULL)
    alias_create(name="one", source="one", settings=Settings(system="New."))
    target = alias_resolve("one")
    assert (target.system, target.options) == ("New.", FULL.options)


def test_an_unknown_source_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="^model 'nope' not found$"):
        alias_create(name="x", source="nope")


def test_a_copy_is_the_same_under_another_name() -> None:
    alias_create(name="one", source="org/model-1b", settings=FULL)
    alias_copy(source="one", destination="two")
    alias_delete(name="ONE:latest")
    assert alias_resolve("two").options == FULL.options
    with pytest.raises(ModelNotFound):
        alias_resolve("one")


def test_an_alias_that_others_name_stays() -> None:
    alias_create(name="inner", source="org/model-1b")
    for name in ("two", "one"):
        Alias.objects.create(name=name, model="Inner")
    with pytest.raises(AliasHeld, match="^inner is what one stands for. Delete"):
        alias_delete(name="INNER:latest", along=["two", "a b"])
    assert alias_resolve("one").model.name == "one"
    alias_delete(name="inner", along=["ONE", "two:latest"])
    assert not Alias.objects.filter(name="inner").exists()


def test_an_alias_whose_name_a_model_has_too_is_not_needed_by_others() -> None:
    Alias.objects.create(name="org/model-1b", model="org/gone")
    Alias.objects.create(name="one", model="org/model-1b")
    alias_delete(name="org/model-1b")
    assert alias_resolve("one").record.name == "Org/Model-1B"


def test_an_alias_that_others_name_keeps_its_name() -> None:
    inner = alias_create(name="inner", source="org/model-1b")
    Alias.objects.create(name="one", model="inner")
    with pytest.raises(InvalidRequest, match="inner is what one stands for"):
        alias_change(pk=inner.pk, changes={"name": "other"})
    alias_change(pk=inner.pk, changes={"name": "INNER", "system": "Be brief."})
    assert alias_resolve("one").system == "Be brief."
    Alias.objects.filter(name="one").delete()
    alias_change(pk=inner.pk, changes={"name": "other"})


@pytest.mark.parametrize("name", ["nope", "org/model-1b"])
def test_only_aliases_are_deleted(name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"^model '{name}' not found$"):
        alias_delete(name=name)
    assert ModelRecord.objects.exists()


@pytest.mark.parametrize(
    "settings",
    [
        Settings(options=Options(temperature=-1)),
        Settings(options=Options(stop=("",))),
        Settings(description="x" * 201),
        Settings(system="x" * 300_000),
        Settings(quantization="int2"),  # type: ignore[arg-type]
        Settings(messages=(Message(role="robot", content="x"),)),  # type: ignore[arg-type]
    ],
)
def test_what_is_out_of_bounds_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidRequest, match="cannot be made"):
        alias_create(name="x", source="org/model-1b", settings=settings)
    assert not Alias.objects.exists()
