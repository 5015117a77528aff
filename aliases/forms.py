"""The form of an alias, made for people: every option is a field with its range and what it does."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from aliases.models import Alias
from inference.models import ModelRecord
from inference.protocol import Options

PREFIX = "option_"


class Knob(NamedTuple):
    """How an option is shown: its label, its help, and the step of its input."""

    label: str
    help: str
    step: str = "any"


KNOBS = {
    "temperature": Knob(
        "Temperature", "0 always takes the likeliest word; around 1 is lively; higher is wild."
    ),
    "top_k": Knob("Top k", "Choose among so many of the likeliest words; 0 for all.", "1"),
    "top_p": Knob("Top p", "Choose among the likeliest words that together make this share."),
    "min_p": Knob("Min p", "Leave out words less likely than this share of the likeliest."),
    "typical_p": Knob("Typical p", "Prefer words that are about as surprising as expected; 1 is off."),
    "seed": Knob("Seed", "The same seed gives the same answer.", "1"),
    "num_predict": Knob("Longest answer", "Tokens; -1 for until the model stops.", "1"),
    "num_ctx": Knob("Context", "Tokens of prompt and answer. The oldest turns give way.", "1"),
    "repeat_penalty": Knob("Repeat penalty", "Above 1 makes repeating less likely."),
    "repeat_last_n": Knob("Look back", "How many tokens penalties look at; -1 for all.", "1"),
    "presence_penalty": Knob("Presence penalty", "Taken off a word that was said."),
    "frequency_penalty": Knob("Frequency penalty", "Taken off for each time a word was said."),
}
_SCHEMA = {
    name: next(part for part in field["anyOf"] if part["type"] != "null")
    for name, field in msgspec.json.schema(Options)["$defs"]["Options"]["properties"].items()
    if name in KNOBS
}


def _field(name: str) -> forms.Field:
    """A field of an option, held to the bounds that ``Options`` itself has."""
    knob, schema = KNOBS[name], _SCHEMA[name]
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    whole = schema["type"] == "integer"
    kind = forms.IntegerField if whole else forms.FloatField
    widget = UnfoldAdminIntegerFieldWidget if whole else UnfoldAdminDecimalFieldWidget
    small = high is not None and high < 2**31
    bounds = f" {low} to {high}." if low is not None and small else ""
    return kind(
        required=False,
        label=knob.label,
        help_text=knob.help + bounds,
        min_value=low,
        max_value=high,
        widget=widget(attrs={"step": knob.step}),
    )


class AliasForm(forms.ModelForm):
    """An alias. What is left empty is the model's own."""

    stop = forms.CharField(
        required=False,
        label="Stop sequences",
        strip=False,
        help_text="One a line. An answer ends before any of them.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    fallback_names = forms.CharField(
        required=False,
        label="Fallbacks",
        help_text="One a line: what answers, in this order, where the model is not here or cannot be loaded.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    class Meta:
        model = Alias
        exclude = ("options", "fallbacks", "provider")  # noqa: DJ006 (they are fields of the form)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.fields:
            return
        # What is copied stands in the initial values, not in the instance.
        given = self.initial.get("options") or self.instance.options
        for name in KNOBS:
            if PREFIX + name in self.fields:
                self.fields[PREFIX + name].initial = given.get(name)
        if "stop" in self.fields:
            self.fields["stop"].initial = "\n".join(given.get("stop") or ())
            names = self.initial.get("fallbacks") or self.instance.fallbacks
            self.fields["fallback_names"].initial = "\n".join(names)
        if "model" in self.fields:
            self.fields["model"] = _model_field(self.instance.model)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        options = {name: cleaned.get(PREFIX + name) for name in KNOBS}
        options["stop"] = [
            line for line in cleaned.get("stop", "").replace("\r", "").split("\n") if line
        ] or None
        kept = {name: value for name, value in self.instance.options.items() if name not in options}
        self.instance.options = kept | {name: value for name, value in options.items() if value is not None}
        lines = cleaned.get("fallback_names", "").split("\n")
        self.instance.fallbacks = [line.strip() for line in lines if line.strip()]
        for name in ("options", "fallbacks"):
            self._check(name)
        return cleaned

    def _check(self, name: str) -> None:
        """The model's own checks of a field that the form does not have."""
        try:
            self.instance._meta.get_field(name).clean(getattr(self.instance, name), self.instance)
        except forms.ValidationError as error:
            self.add_error(None, error)


for _name in KNOBS:
    AliasForm.base_fields[PREFIX + _name] = AliasForm.declared_fields[PREFIX + _name] = _field(_name)


def _model_field(current: str) -> forms.ChoiceField:
    """A choice of what is on this machine, and of what the alias names already."""
    models = list(ModelRecord.objects.order_by("name").values_list("name", flat=True))
    aliases = list(Alias.objects.values_list("name", flat=True))
    known = {name.lower() for name in (*models, *aliases)}
    gone = [("Not on this machine", [(current, current)])] if current and current.lower() not in known else []
    choices = [
        ("Models", [(name, name) for name in models]),
        ("Aliases", [(name, name) for name in aliases]),
        *gone,
    ]
    return forms.ChoiceField(
        choices=choices, widget=UnfoldAdminSelectWidget, help_text="A model, or another alias to add to."
    )
