"""Finds the rows of models."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from inference.models import ModelRecord


def records_at(path: str) -> QuerySet[ModelRecord]:
    """The models whose files lie in the folder ``path``."""
    folder = Path(path)
    names = [str(folder)]
    if folder.is_relative_to(settings.MODELS_PATH):
        names.append(str(folder.relative_to(settings.MODELS_PATH)))
    return ModelRecord.objects.filter(provider="huggingface", folder__in=names)
