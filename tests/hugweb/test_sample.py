"""The sample picture: what its script draws, and how the terminal takes it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from hugweb import sample
from hugweb.pictures import picture_read


def test_the_file_is_what_the_script_draws() -> None:
    """On failure: ``python -m hugweb.sample``."""
    with Image.open(sample.PATH) as stored:
        assert ImageChops.difference(stored, sample.draw()).getbbox() is None


def test_its_name_stands_for_it_unless_a_file_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Image.open(io.BytesIO(picture_read("sample"))).size == sample.SIZE
    Path("sample").write_bytes(b"mine")
    assert picture_read("sample") == b"mine"
