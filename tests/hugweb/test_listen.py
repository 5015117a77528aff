import socket

import pytest

from hugweb.listen import CannotListen, bind, listen, url_of


def test_port_0_is_a_free_port_that_is_known_before_anybody_is_let_in():
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=30)
        listen(listener)
        socket.create_connection(("127.0.0.1", port), timeout=30).close()


def test_localhost_is_ipv4_where_there_is_a_choice():
    with bind("localhost", 0) as listener:
        assert listener.family == socket.AF_INET


def test_a_port_that_somebody_took_meanwhile_is_reported_too():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bind("127.0.0.1", port) as second:
            listen(first)
            with pytest.raises(CannotListen, match=f"Port {port} of 127.0.0.1 is in use"):
                listen(second)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_reported(port):
    with pytest.raises(CannotListen, match="from 0 to 65535"):
        bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("localhost", "http://localhost:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("192.168.1.5", "http://192.168.1.5:1"),
    ],
)
def test_the_url_is_one_that_this_machine_can_open(host, url):
    assert url_of(host, 1) == url
