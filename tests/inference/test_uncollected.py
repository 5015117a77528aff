import gc
import subprocess
import sys

import pytest

from inference.uncollected import uncollected
from tests.serving import PROJECT


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_afterwards_as_it_was(was_on: bool) -> None:
    try:
        if not was_on:
            gc.disable()
        with pytest.raises(ValueError, match="inside"), uncollected():
            assert not gc.isenabled()
            raise ValueError("inside")
        assert gc.isenabled() == was_on
    finally:
        gc.enable()


def test_what_is_to_be_kept_is_set_aside() -> None:
    gc.unfreeze()
    with uncollected():
        assert gc.get_freeze_count() == 0
    with uncollected(keep=True):
        pass
    assert gc.get_freeze_count() > 1000


def test_commands_collect_once_all_is_imported() -> None:
    said = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", "import gc; print(gc.isenabled())"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert said.stdout.strip() == "True", said.stderr
