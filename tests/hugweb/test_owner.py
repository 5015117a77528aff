from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from hugweb.owner import TOKENS, first_owner, login_address

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def owner():
    return first_owner()


def address_of(user):
    return login_address(user, "")


def is_logged_in(client):
    return "_auth_user_id" in client.session


def test_the_first_owner_is_made_without_a_password(owner):
    assert (owner.username, owner.is_superuser, owner.is_active) == ("owner", True, True)
    assert not owner.has_usable_password()
    assert first_owner() == owner
    assert User.objects.count() == 1


def test_where_there_are_users_the_owner_is_the_first_active_superuser():
    User.objects.create_user("somebody")
    assert first_owner() is None
    User.objects.create_superuser("gone", is_active=False)
    boss = User.objects.create_superuser("boss", password="correct horse")
    User.objects.create_superuser("other")
    assert first_owner() == boss


def test_the_address_has_the_base_that_it_is_given(owner):
    assert login_address(owner, "http://127.0.0.1:1").startswith("http://127.0.0.1:1/login/")


def test_the_address_logs_in_and_leads_to_the_chat(client, owner):
    answer = client.get(address_of(owner))
    assert (answer.status_code, answer["Location"]) == (302, reverse("chat"))
    assert "no-store" in answer["Cache-Control"]
    assert client.session["_auth_user_id"] == str(owner.pk)


def test_the_address_works_once(client, owner, django_user_model):
    address = address_of(owner)
    client.get(address)
    client.logout()
    answer = client.get(address, follow=True)
    assert not is_logged_in(client)
    assert "manage.py changepassword owner" in answer.content.decode()


def test_an_address_ends_with_any_other_log_in(client, owner):
    old, new = address_of(owner), address_of(first_owner())
    client.get(new)
    client.logout()
    client.get(old)
    assert not is_logged_in(client)


def test_two_log_ins_within_a_second_do_not_share_a_token(client, owner):
    client.get(address_of(owner))
    again = address_of(User.objects.get())
    client.get(again)
    client.logout()
    client.get(again)
    assert not is_logged_in(client)


def test_of_two_at_the_same_time_one_gets_in(client, owner, monkeypatch):
    address = address_of(owner)
    check = TOKENS.check_token

    def checked_while_another_got_in(user, token):
        result = check(user, token)
        User.objects.filter(pk=user.pk).update(last_login=timezone.now())
        return result

    monkeypatch.setattr(TOKENS, "check_token", checked_while_another_got_in)
    client.get(address)
    assert not is_logged_in(client)


def test_an_address_lasts_a_day(client, owner, monkeypatch):
    address = address_of(owner)
    now = TOKENS._now()
    monkeypatch.setattr(TOKENS, "_now", lambda: now + timedelta(hours=24, seconds=2))
    client.get(address)
    assert not is_logged_in(client)
    monkeypatch.setattr(TOKENS, "_now", lambda: now + timedelta(hours=23))
    client.get(address)
    assert is_logged_in(client)


def test_an_inactive_user_does_not_get_in(client, owner):
    address = address_of(owner)
    User.objects.update(is_active=False)
    client.get(address)
    assert not is_logged_in(client)


@pytest.mark.parametrize("uid", ["MQ", "Mg", "x", "----", "_w", "MTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
@pytest.mark.parametrize("token", ["x", "a-b", "didxip-00000000000000000000000000000000"])
def test_a_made_up_address_leads_to_the_login_page(client, owner, uid, token):
    answer = client.get(reverse("login-once", args=[uid, token]))
    assert (answer.status_code, answer["Location"]) == (302, reverse("login"))
    assert not is_logged_in(client)


def test_only_a_get_logs_in(client, owner):
    address = address_of(owner)
    assert client.head(address).status_code == 405
    assert client.post(address).status_code == 405
    client.get(address)
    assert is_logged_in(client)


def test_name_and_password_log_in_and_a_post_logs_out(client, owner):
    owner.set_password("correct horse")
    owner.save()
    assert client.get(reverse("login")).status_code == 200
    answer = client.post(reverse("login"), {"username": "owner", "password": "wrong"})
    assert answer.status_code == 200
    answer = client.post(reverse("login"), {"username": "owner", "password": "correct horse"})
    assert answer["Location"] == reverse("chat")
    assert client.get(reverse("logout")).status_code == 405
    assert is_logged_in(client)
    assert client.post(reverse("logout"))["Location"] == reverse("login")
    assert not is_logged_in(client)
