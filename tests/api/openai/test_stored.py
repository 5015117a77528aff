from __future__ import annotations

import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hugweb.api.openai.stored import selectors, services
from hugweb.api.openai.stored.ids import new_item_id, new_response_id
from hugweb.api.openai.stored.models import StoredResponse
from hugweb.api.openai.stored.selectors import items_get, response_get, response_history
from hugweb.api.openai.stored.services import response_delete, response_store
from inference.errors import InvalidRequest, NotFound, TooLarge

pytestmark = pytest.mark.django_db


def store(
    id: str, *, previous: str = "", thread: str = "", owner: int | None = None, said: str = ""
) -> StoredResponse:
    response: dict[str, Any] = {"id": id, "previous_response_id": previous or None, "output": [f"{id} out"]}
    return response_store(owner=owner, thread=thread, items=[{"said": said or id}], response=response)


def test_a_thread_is_told_in_order_and_without_its_other_branches() -> None:
    store("a")
    store("b", previous="a", thread="a")
    store("other", previous="a", thread="a")
    store("c", previous="b", thread="a")
    thread, items = response_history(owner=None, previous="c")
    assert thread == "a"
    assert items == [{"said": "a"}, "a out", {"said": "b"}, "b out", {"said": "c"}, "c out"]


def test_only_what_is_gone_on_from_is_read(django_assert_num_queries: Any) -> None:
    store("a")
    for number in range(20):
        store(f"branch {number}", previous="a", thread="a", said="x" * 1_000_000)
    tracemalloc.start()
    assert len(response_history(owner=None, previous="a")[1]) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
    with django_assert_num_queries(3):
        response_history(owner=None, previous="branch 7")


def test_a_thread_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store("a", said="x" * 1000)
    store("b", previous="a", thread="a", said="x" * 1000)
    store("c", previous="a", thread="a")
    monkeypatch.setattr(selectors, "MAX_HISTORY", 1500)
    with pytest.raises(TooLarge, match="Begin again"):
        response_history(owner=None, previous="b")
    assert len(response_history(owner=None, previous="c")[1]) == 4


def test_items_are_found_by_their_ids_in_responses_of_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = User.objects.create_user("me").pk
    ids = []
    for owner in (mine, mine, None):
        response = new_response_id()
        asked, said = new_item_id("msg_", response), new_item_id("rs_", response)
        told = {"id": response, "previous_response_id": None, "output": [{"id": said}, {"id": "msg_own"}]}
        response_store(owner=owner, thread="", items=[{"id": asked}], response=told)
        ids += [asked, said]
    wanted = [*ids, new_item_id("msg_", new_response_id()), "msg_own", "", "resp_", "msg_\x00"]
    assert items_get(owner=mine, ids=wanted) == {id: {"id": id} for id in (*ids[:4], "msg_own")}
    assert items_get(owner=None, ids=ids) == {id: {"id": id} for id in ids[4:]}
    monkeypatch.setattr(selectors, "MAX_HISTORY", 10)
    with pytest.raises(TooLarge):
        items_get(owner=mine, ids=ids[:1])


def test_a_thread_that_names_itself_ends() -> None:
    store("a", previous="a")
    with pytest.raises(InvalidRequest):
        response_history(owner=None, previous="a")


def test_what_belongs_to_somebody_else_is_not_there() -> None:
    mine, other = (User.objects.create_user(name).pk for name in ("me", "other"))
    store("a", owner=mine)
    assert response_get(owner=mine, id="a").owner_id == mine
    for owner in (other, None):
        with pytest.raises(NotFound):
            response_get(owner=owner, id="a")
        with pytest.raises(NotFound):
            response_delete(owner=owner, id="a")
        with pytest.raises(InvalidRequest):
            response_history(owner=owner, previous="a")


def test_only_so_many_are_kept_for_each_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = User.objects.create_user("me").pk
    monkeypatch.setattr(services, "MAX_RESPONSES", 2)
    store("theirs", owner=owner)
    for id in ("a", "b", "c"):
        store(id)
    assert set(StoredResponse.objects.values_list("pk", flat=True)) == {"theirs", "b", "c"}


def test_only_so_many_bytes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    size = store("a").size
    assert size > 0
    monkeypatch.setattr(services, "MAX_BYTES", 2 * size)
    store("b")
    store("c")
    assert set(StoredResponse.objects.values_list("pk", flat=True)) == {"b", "c"}


def test_what_is_old_is_forgotten() -> None:
    store("a")
    StoredResponse.objects.update(created=timezone.now() - timedelta(days=31))
    store("b")
    assert list(StoredResponse.objects.values_list("pk", flat=True)) == ["b"]
