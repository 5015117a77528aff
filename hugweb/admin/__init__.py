"""The admin's pages that need all of HugWeb: each module registers its own."""

from hugweb.admin import models, people

__all__ = ["models", "people"]
