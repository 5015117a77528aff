"""Templates that are compiled before the first page asks for one."""

from __future__ import annotations

from django.template import engines

from hugweb.compiling import templates_compile


def test_what_the_admin_and_the_chat_are_made_of_is_compiled() -> None:
    (loader,) = engines["django"].engine.template_loaders
    loader.reset()
    assert templates_compile() > 200
    assert {
        "admin/dashboard.html",
        "admin/change_list.html",
        "unfold/helpers/field.html",
        "conversations/chat.html",
        "pulls/_state.html",
    } <= set(loader.get_template_cache)
