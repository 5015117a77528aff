"""The supervisor, with a stand-in for the engine."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from hugweb import supervise
from hugweb.supervise import EngineSupervisor, child_environment, engine_config, reason_of, restart_delay
from inference.client import EngineClient
from inference.engine.config import EngineConfig
from tests.serving import PROJECT, environment, eventually

STAND_IN = (sys.executable, "-m", "tests.hugweb.engine_stub")
SECRETS = {
    "SECRET_KEY": "s",
    "DJANGO_SECRET_KEY": "s",
    "HF_TOKEN": "hf_s",
    "HUGGING_FACE_HUB_TOKEN": "hf_s",
    "DATABASE_URL": "postgres://u:s@h/d",
    "REDIS_URL": "redis://:s@h",
    "OPENAI_API_KEY": "s",
    "AWS_SECRET_ACCESS_KEY": "s",
    "HUGWEB_HOME": "/home",
}


@pytest.fixture
def address(settings, tmp_path):
    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/engine.sock"
    return f"{tmp_path}/engine.sock"


@pytest.fixture
def supervise_stub(address):
    """Starts a supervisor of the stand-in; returns it and what tells its child's process."""
    started = []

    def start(*arguments):
        supervisor = EngineSupervisor((*STAND_IN, *arguments))
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop(0)


def child_of(pid=None):
    """The engine that ``pid`` started, once it runs its own program."""

    def find():
        children = psutil.Process(pid).children()
        return next((child for child in children if "tests.hugweb.engine_stub" in child.cmdline()), None)

    return eventually(find, lambda: "no engine")


async def pid_by_socket(address):
    return (await EngineClient(address).status()).pid


async def test_the_engine_runs_in_a_session_of_its_own_and_stops(supervise_stub, address):
    supervisor = supervise_stub()
    pid = await pid_by_socket(address)
    assert pid == child_of().pid
    assert os.getsid(pid) == pid != os.getsid(0)
    supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_an_engine_that_is_killed_is_restarted_at_once(supervise_stub, address, caplog):
    supervise_stub()
    first = await pid_by_socket(address)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(first), lambda: "still there")
    assert await pid_by_socket(address) != first
    assert "killed (signal 9), possibly out of memory" in caplog.text


async def test_an_engine_that_is_asked_to_stop_and_does_not_is_killed(supervise_stub, address):
    supervisor = supervise_stub("stubborn")
    pid = await pid_by_socket(address)
    supervisor.stop(0.2)
    assert not psutil.pid_exists(pid)


async def test_kill_ends_the_engine_for_good(supervise_stub, address):
    others = set(psutil.Process().children())
    supervisor = supervise_stub("stubborn")
    pid = await pid_by_socket(address)
    supervisor.kill()
    eventually(lambda: not psutil.pid_exists(pid), lambda: "still there")
    supervisor.stop(1)
    assert set(psutil.Process().children()) <= others


def test_a_crash_loop_slows_down(monkeypatch, settings):
    settings.ENGINE_ADDRESS = "unix:/nowhere"
    delays = []

    def stop_after_three(self, seconds):
        delays.append(seconds)
        return len(delays) == 3 and supervisor._stopping.set()

    supervisor = EngineSupervisor((sys.executable, "-c", "raise SystemExit(2)"))
    monkeypatch.setattr(type(supervisor._stopping), "wait", stop_after_three)
    supervisor._keep_running()
    assert delays == [0.0, 0.5, 1.0]


def test_a_command_that_cannot_be_started_is_a_crash_too(settings):
    settings.ENGINE_ADDRESS = "unix:/nowhere"
    assert "could not be started" in EngineSupervisor(("/no/such/python",))._run()


def test_delays_double_up_to_half_a_minute():
    assert [restart_delay(failures) for failures in range(10)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_an_exit_code_is_explained():
    assert reason_of(-9) == "killed (signal 9), possibly out of memory"
    assert reason_of(-11).startswith("ended by signal 11 (Segmentation fault")
    assert reason_of(-40).startswith("ended by signal 40")
    assert reason_of(2) == "exit code 2"


def test_the_engine_ends_when_its_parent_is_killed(tmp_path):
    code = (
        "import django; django.setup()\n"
        "from hugweb.supervise import EngineSupervisor\n"
        f"EngineSupervisor({STAND_IN!r}).start()\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment(tmp_path, {"ENGINE_ADDRESS": f"unix:{tmp_path}/engine.sock"}),
        stdin=subprocess.PIPE,
    )
    engine = child_of(parent.pid)
    eventually((tmp_path / "engine.sock").exists, lambda: "no socket")
    parent.kill()
    parent.wait()
    eventually(lambda: not engine.is_running(), lambda: "the engine outlives its parent")


def test_the_engine_sees_no_secret(settings):
    harmless = {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0"}
    seen = child_environment({**SECRETS, **harmless})
    assert seen.pop("HF_HUB_OFFLINE") == "1"
    assert settings.SECRET_KEY not in seen.pop("HUGWEB_ENGINE_CONFIG")
    assert seen == harmless


def test_the_engine_understands_its_configuration():
    config = EngineConfig.from_json(json.dumps(engine_config()))
    assert config.address.endswith("engine.sock")
    assert len(config.model_roots) == 2
    assert config.keep_alive == 300.0


def test_the_command_is_the_engine():
    assert (sys.executable, "-m", "inference.engine") == supervise.COMMAND
