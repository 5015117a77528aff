"""The same server for other people's clients."""

from tests.api.conftest import running, stage

__all__ = ["running", "stage"]
