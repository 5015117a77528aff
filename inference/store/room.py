"""The machine that models are held against on pages and in lists: this one, with nothing loaded.

What is loaded now makes room for what is asked for, so it does not count.
"""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings

from inference.machine import Machine, machine_read


def empty_machine() -> Machine:
    """This machine as if nothing ran on it."""
    machine = machine_read(settings.ENV["HUGGINGFACE_DEVICE"], settings.ENV["HUGGINGFACE_PRECISION"])
    return replace(machine, free=machine.total)
