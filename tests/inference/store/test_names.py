from __future__ import annotations

import pytest

from aliases.names import canonical_name
from inference.errors import InvalidRequest
from inference.store.names import folder_of, model_name_check, revision_check


@pytest.mark.parametrize(
    "name", ["org/name", "HuggingFaceTB/SmolLM2-135M-Instruct", "a/b.c_d-1", "a/" + "b" * 80]
)
def test_a_name_that_is_taken_is_one_that_clients_can_write(name: str) -> None:
    model_name_check(name)
    assert canonical_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "name", "org/", "/name", "a/b/c", "../x", "a/..", "a/b..c", ".a/b", "a/.b", "a b/c", "a/b:",
     "a/b:c:d", "a/b:/c", "a/b\n", "é/b", "a/-b", "a/" + "b" * 81, "a\\b/c", "a/b\0"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_advice(name: str) -> None:
    with pytest.raises(InvalidRequest, match="org/name"):
        model_name_check(name)


@pytest.mark.parametrize("name", ["library/x", "hf.co/x", "HuggingFace.co/x"])
def test_an_organisation_that_clients_write_as_a_host_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="Choose another"):
        model_name_check(name)


@pytest.mark.parametrize("revision", ["../main", "", "a b", "/etc/passwd", "a/../b", "-x"])
def test_a_revision_cannot_leave_the_cache(revision: str) -> None:
    revision_check("refs/pr/1")
    with pytest.raises(InvalidRequest, match="revision"):
        revision_check(revision)


def test_a_file_of_a_repository_has_a_name_and_a_folder_of_its_own() -> None:
    model_name_check("a/b:file-Q4_K_M.gguf")
    assert folder_of("a/b:c") == "a/b@c"
    with pytest.raises(InvalidRequest):
        model_name_check(folder_of("a/b:c"))
