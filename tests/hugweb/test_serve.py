"""``manage.py serve``: what a start does, prints and refuses. Real processes, a fake engine."""

import contextlib
import socket

import httpx
import psutil

from tests.serving import Server, engine_thread, fill_home, manage, run_python

BROWSER = {"Accept": "text/html,*/*;q=0.8"}


@contextlib.contextmanager
def listening(host="127.0.0.1"):
    with socket.create_server((host, 0)) as other:
        yield other.getsockname()[1]


def fails(home, *arguments):
    """What a start prints that must fail, with exit code 1 and one line."""
    process = manage("serve", *arguments, home=home)
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1, output
    assert len(output.splitlines()) == 1
    return output.decode()


def test_it_says_where_the_chat_is_and_answers_there(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{server.url}/chat/").headers["location"].startswith("/login/")
    assert httpx.get(f"{server.url}/health/live").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/health/ready").json() == {
        "status": "ok",
        "database": True,
        "engine": True,
        "draining": False,
    }


def test_the_address_that_it_prints_logs_in_once(tmp_path):
    with (
        engine_thread(tmp_path / "engine.sock") as engine,
        Server(tmp_path / "home", engine=engine) as server,
    ):
        with httpx.Client() as owner:
            answer = owner.get(server.login_address)
            assert (answer.status_code, answer.headers["location"]) == (302, "/chat/")
            assert owner.get(f"{server.url}/chat/").status_code == 200
        with httpx.Client() as thief:
            answer = thief.get(server.login_address)
            assert (answer.status_code, answer.headers["location"]) == (302, "/login/")
            assert thief.get(f"{server.url}/chat/").status_code == 302
            assert "changepassword owner" in thief.get(f"{server.url}/login/").text


def test_the_web_process_stays_small_and_without_torch(server):
    process = psutil.Process(server.process.pid)
    assert process.memory_info().rss < 150 * 2**20
    # Where the system tells: what the process has really loaded.
    maps = getattr(process, "memory_maps", list)()
    assert not [entry.path for entry in maps if "torch" in entry.path]
    loaded = run_python(
        "import hugweb.asgi, hugweb.server, hugweb.management.commands.serve, sys\n"
        "print(*{'torch', 'transformers', 'accelerate'} & set(sys.modules))",
        server.home,
    )
    assert loaded == "\n"


def test_what_it_writes_is_its_owners_only(server):
    assert (server.home / "serve.lock").stat().st_mode & 0o077 == 0


def test_a_port_in_use_ends_the_start_in_one_line(tmp_path):
    fill_home(tmp_path)
    with listening() as port:
        line = fails(tmp_path, "--port", str(port))
    assert f"Port {port} of 127.0.0.1 is in use" in line
    assert "Ollama" in line


def test_an_address_that_cannot_be_used_ends_the_start_in_one_line(tmp_path):
    assert "Cannot listen" in fails(tmp_path, "--host", "192.0.2.1", "--port", "0")


def test_a_database_that_is_none_ends_the_start_in_one_line(tmp_path):
    (tmp_path / "db.sqlite3").write_text("not a database " * 100)
    assert "The database cannot be used" in fails(tmp_path, "--port", "0")


def test_a_home_has_one_server(server):
    assert "Another server is running" in fails(server.home, "--port", "0")


def test_a_network_address_needs_a_user(tmp_path):
    fill_home(tmp_path)
    assert "manage.py createsuperuser" in fails(tmp_path, "--host", "0.0.0.0", "--port", "0")


def test_on_a_network_address_the_api_is_closed_and_the_page_is_open(tmp_path):
    home = tmp_path / "home"
    fill_home(home)
    made = manage(
        *("createsuperuser", "--noinput", "--username", "owner", "--email", "o@example.com"),
        home=home,
        env={"DJANGO_SUPERUSER_PASSWORD": "correct horse battery"},
    )
    assert made.wait(30) == 0
    with (
        engine_thread(tmp_path / "engine.sock") as engine,
        Server(home, engine=engine, arguments=("--host", "0.0.0.0")) as server,
    ):
        assert server.login_address == ""
        for path in ("/api/version", "/api/tags", "/v1/models", "/"):
            answer = httpx.get(server.url + path)
            assert answer.status_code == 401
            assert "error" in answer.json()
        assert httpx.get(f"{server.url}/login/").status_code == 200
        assert httpx.get(server.url, headers=BROWSER).headers["location"] == "/chat/"


def test_a_database_that_is_behind_is_migrated(tmp_path):
    home = tmp_path / "home"
    fill_home(home)
    assert manage("migrate", "conversations", "zero", home=home).wait(30) == 0
    with engine_thread(tmp_path / "engine.sock") as engine, Server(home, engine=engine):
        tables = "from django.db import connection; print(connection.introspection.table_names())"
        assert "conversations_message" in run_python(f"import django; django.setup(); {tables}", home)


def test_an_answer_that_a_server_left_unfinished_is_marked(tmp_path):
    home = tmp_path / "home"
    fill_home(home)
    setup = (
        "import django; django.setup()\n"
        "from django.contrib.auth.models import User; from conversations.models import *\n"
    )
    leave = (
        "conversation = Conversation.objects.create(user=User.objects.create_superuser('o'), title='t')\n"
        "Message.objects.create(conversation=conversation, role='assistant', status='streaming')\n"
    )
    run_python(setup + leave, home)
    with engine_thread(tmp_path / "engine.sock") as engine, Server(home, engine=engine):
        assert run_python(f"{setup}print(Message.objects.get().status)", home) == "interrupted\n"
