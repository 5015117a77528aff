"""What the tests of the web process share."""

import pytest

from tests.serving import Server, engine_thread


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with a fake engine, that no test stops."""
    folder = tmp_path_factory.mktemp("serve")
    with engine_thread(folder / "engine.sock") as engine, Server(folder / "home", engine=engine) as server:
        yield server
