"""What the docs say of names and numbers is what the code does."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from hugweb.env import SETTINGS, Setting
from tests.serving import PROJECT

SETTINGS_PAGE = (PROJECT / "docs" / "settings.md").read_text()
PAGES = sorted([*(PROJECT / "docs").glob("*.md"), PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"])


def row(setting: Setting) -> str:
    name = f"`{setting.name}`" + (f" or `{setting.other}`" if setting.other else "")
    default = f"`{setting.default}`" if setting.default else "–"
    return f"| {name} | {default} | {setting.allowed} | {setting.help} |"


def test_the_table_of_settings_is_the_code_s() -> None:
    """On failure the page's table is to be replaced by the one shown here."""
    table = SETTINGS_PAGE.partition("|---|")[2].partition("\n\n")[0]
    listed = [line for line in table.splitlines() if line.startswith("| `")]
    assert listed == [row(setting) for setting in SETTINGS], "\n" + "\n".join(map(row, SETTINGS))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_the_docs_name_are_there(page: str) -> None:
    text = page.read_text()  # type: ignore[attr-defined]
    named = re.findall(
        r"`((?:hugweb|aliases|inference|conversations|tests|docs|static|templates)/[\w./-]*)`", text
    )
    missing = [path for path in named if not (PROJECT / path).exists()]
    assert missing == []


def test_commands_that_the_readme_names_exist() -> None:
    commands = set(re.findall(r"manage\.py (\w+)", (PROJECT / "README.md").read_text()))
    helped = subprocess.run(
        [sys.executable, "manage.py", "help", "--commands"], cwd=PROJECT, capture_output=True, text=True
    )
    assert commands
    assert commands <= set(helped.stdout.split())
