"""The real engine as the child of a real server."""

import os
import signal

import httpx
import psutil

from tests.serving import Server, eventually


def engine_of(server):
    """The engine that the server started."""

    def find():
        children = psutil.Process(server.process.pid).children()
        return next((child for child in children if "inference.engine" in child.cmdline()), None)

    return eventually(find, server.output)


def test_the_engine_is_a_child_without_secrets_that_is_restarted_and_never_left_behind(tmp_path):
    secrets = {"HF_TOKEN": "hf_secret", "OPENAI_API_KEY": "sk-secret", "HF_HUB_OFFLINE": "0"}
    with Server(tmp_path / "home", env=secrets) as server:
        first = engine_of(server)
        seen = first.environ()
        assert not set(seen) & {
            "HF_TOKEN",
            "OPENAI_API_KEY",
            "DATABASE_URL",
            "HUGWEB_HOME",
            "DJANGO_SETTINGS_MODULE",
        }
        assert (server.home / "secret_key").read_text() not in str(seen)
        assert seen["HF_HUB_OFFLINE"] == "1"
        first.send_signal(signal.SIGKILL)
        eventually(lambda: not first.is_running(), server.output)
        second = engine_of(server)
        eventually(lambda: httpx.get(f"{server.url}/health/ready").status_code == 200, server.output)
        assert "possibly out of memory" in server.output()
        assert server.stop(signal.SIGINT) == 0
        assert not second.is_running()


def test_the_engine_does_not_outlive_a_server_that_is_killed(tmp_path):
    with Server(tmp_path / "home") as server:
        engine = engine_of(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        eventually(lambda: not engine.is_running(), server.output)
