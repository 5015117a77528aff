"""The pages that pull models, in the admin and beside the chat: a field, well-known models, progress.

Each page is plain forms and one part that is fetched again while something is pulled. What is pulled
belongs to the server (``hugweb.jobs``): it goes on when its page is loaded again or closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST, require_safe

from hugweb.jobs import PULL_JOBS
from hugweb.pull_orders import pull_order
from hugweb.starter import MODEL
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.store.architectures import TEXT
from inference.store.estimate import Fit, record_fit
from inference.store.popular import POPULAR, Popular
from inference.store.room import empty_machine

PERMISSION = "inference.change_modelrecord"
LONGEST_NAME = 300
SAFE = ("GET", "HEAD")
CANCELLED = "It is no longer asked for. What has arrived is kept: the next pull of %s goes on from there."
STARTER = Popular(MODEL, "llama", 134_515_008, TEXT, "the starter model: small, quick, a little naive")

Guard = Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]


@dataclass(frozen=True)
class Suggestion:
    """A well-known model, whether it fits, and whether it is here already."""

    model: Popular
    fit: Fit
    is_here: bool


def may_pull(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether ``user`` manages the models of this machine."""
    return isinstance(user, User) and user.is_staff and user.has_perm(PERMISSION)


def suggestions() -> list[Suggestion]:
    """The well-known models, those that fit first; of one that is here the files tell whether it fits."""
    machine = empty_machine()
    here = {record.name.lower(): record for record in ModelRecord.objects.all()}
    found = []
    for model in (STARTER, *POPULAR):
        record = here.get(model.name.lower())
        fit = record_fit(record, machine) if record else model.fit(machine)
        found.append(Suggestion(model, fit, record is not None))
    return sorted(found, key=lambda one: not one.fit.fits)


@dataclass(frozen=True)
class PullPages:
    """The pages under one address: ``name`` is that of their first, ``template`` its frame."""

    name: str
    template: str
    context: Callable[[HttpRequest], dict[str, Any]] = lambda request: {}

    def urls(self, guard: Guard) -> list[URLPattern]:
        """The addresses below the page's own, each behind ``guard``."""
        own = self.name.rpartition(":")[2]
        return [
            path("state/", guard(require_safe(self.state)), name=f"{own}-state"),
            path("cancel/", guard(require_POST(self.cancel)), name=f"{own}-cancel"),
            path("forget/", guard(require_POST(self.forget)), name=f"{own}-forget"),
        ]

    def page(self, request: HttpRequest) -> HttpResponse:
        """The page; with a POST, begin to pull the model that the form names."""
        if request.method == "POST":
            return self.begin(request)
        return self.show(request) if request.method in SAFE else HttpResponseNotAllowed((*SAFE, "POST"))

    def state(self, request: HttpRequest) -> HttpResponse:
        """The part of the page that changes."""
        return render(request, "pulls/_state.html", self._state())

    def cancel(self, request: HttpRequest) -> HttpResponse:
        """Ask no longer for a model."""
        key = request.POST.get("model", "")
        if async_to_sync(PULL_JOBS.cancel)(key):
            messages.info(request, CANCELLED % key)
        return self._back()

    def forget(self, request: HttpRequest) -> HttpResponse:
        """Say no more how a pull ended."""
        async_to_sync(PULL_JOBS.forget)(request.POST.get("model", ""))
        return self._back()

    def begin(self, request: HttpRequest) -> HttpResponse:
        """Begin, or join in; what is wrong with the name is said on the page."""
        wanted = request.POST.get("model", "").strip()[:LONGEST_NAME]
        try:
            async_to_sync(PULL_JOBS.begin)(pull_order(wanted))
        except InferenceError as error:
            messages.error(request, error.message)
        return self._back()

    def show(self, request: HttpRequest) -> HttpResponse:
        """All of the page."""
        context = {**self.context(request), **self._state(), "suggestions": suggestions()}
        return render(request, self.template, context)

    def _state(self) -> dict[str, Any]:
        shown = async_to_sync(PULL_JOBS.shown)()
        return {
            "pulls": shown,
            "running": any(pull.progress for pull in shown),
            "addresses": {part: reverse(f"{self.name}-{part}") for part in ("state", "cancel", "forget")},
            "begin": reverse(self.name),
        }

    def _back(self) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse(self.name))
