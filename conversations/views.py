"""The pages of the chat: a new conversation, one that exists, and the forms that change one.

Complete as plain HTML: what was said can be read without JavaScript. Sending goes over the
websocket. Knows nothing of running turns but what their last checkpoint has stored.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from conversations import attachments, pictures, selectors, services
from conversations.models import Conversation
from conversations.picker import picker_groups
from inference.errors import InvalidRequest, NotFound

# Who may get models for this machine, and is led to the page that does.
MANAGING = "inference.change_modelrecord"


View = Callable[[HttpRequest, UUID], HttpResponse]


def _form(view: View) -> View:
    """Whoever comes otherwise than by a POST, from a log-in in between, sees the conversation as it is."""

    @wraps(view)
    def answer(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
        if request.method != "POST":
            return redirect("conversation", _own(request, conversation_id).pk)
        return view(request, conversation_id)

    return answer


@never_cache
@login_required
@require_safe
def chat(request: HttpRequest) -> HttpResponse:
    """A conversation that has not begun."""
    return _page(request, None, selectors.History([], None))


@never_cache
@login_required
@require_safe
def conversation(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """A conversation: its last messages, or those before the message that ``before`` names."""
    found = _own(request, conversation_id)
    before = _uuid(request.GET.get("before", ""))
    return _page(request, found, selectors.history_get(conversation=found, before=before), before)


@never_cache
@login_required
@require_safe
def chat_models(request: HttpRequest) -> HttpResponse:
    """The options of the model picker, for a page that is looked at again."""
    choices = selectors.model_choices(user=_user(request))
    context = {"groups": picker_groups(choices), "chosen": request.GET.get("chosen", "")}
    return render(request, "conversations/_models.html", context)


@login_required
@_form
def conversation_rename(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Give a conversation the title that the form holds."""
    _own(request, conversation_id)
    try:
        services.conversation_rename(
            user=_user(request), conversation_id=conversation_id, title=request.POST.get("title", "")
        )
    except InvalidRequest as error:
        messages.error(request, error.message)
    return _back(request, reverse("conversation", args=[conversation_id]))


@login_required
@_form
def conversation_delete(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Delete a conversation; whoever is looking at it goes to a new one."""
    _own(request, conversation_id)
    services.conversation_delete(user=_user(request), conversation_id=conversation_id)
    if request.POST.get("next", "").partition("?")[0] == reverse("conversation", args=[conversation_id]):
        return redirect("chat")
    return _back(request, reverse("chat"))


def _page(
    request: HttpRequest,
    found: Conversation | None,
    history: selectors.History,
    before: UUID | None = None,
) -> HttpResponse:
    user, choices = _user(request), selectors.model_choices(user=_user(request))
    preferred = selectors.model_preferred(user=user, choices=choices)
    context = {
        "list": selectors.conversation_list(
            user=user, page=_number(request.GET.get("page", "")), search=request.GET.get("q", "")
        ),
        "conversation": found,
        "history": history,
        "is_past": before is not None,
        "choices": choices,
        "groups": picker_groups(choices),
        "may_pull": user.is_staff and user.has_perm(MANAGING),
        "most_pictures": attachments.MOST_PICTURES,
        "most_bytes": pictures.MOST_BYTES,
        "most_together": attachments.MOST_TOGETHER,
        "picture_types": ",".join(pictures.TYPES.values()),
        "chosen": found.model if found and found.model in choices else preferred,
    }
    return render(request, "conversations/chat.html", context)


def _user(request: HttpRequest) -> User:
    assert request.user.is_authenticated
    return request.user


def _own(request: HttpRequest, conversation_id: UUID) -> Conversation:
    try:
        return selectors.conversation_get(user=_user(request), conversation_id=conversation_id)
    except NotFound as error:
        raise Http404(error.message) from error


def _back(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """To the page that the form was sent from."""
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return HttpResponseRedirect(wanted if is_ours else otherwise)


def _number(text: str) -> int:
    """The number of a page of the list; 1 for what is none."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
