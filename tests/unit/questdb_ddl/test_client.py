"""The client against what is not QuestDB: every failure is one clear line without a password."""

import contextlib
import http.server
import threading
import time

import pytest

from questdb_ddl.client import Client
from questdb_ddl.errors import DeclarationError, QuestDBDDLError, Unreachable


@contextlib.contextmanager
def answering(status, body, delay=0.0):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(delay)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>It works!</html>"),
        (200, b"[1, 2]"),
        (200, b'{"hello": "world"}'),
        (200, b"\xff\xfe"),
        (302, b""),
        (404, b"Not Found"),
        (502, b"<h1>Bad Gateway</h1>"),
    ],
    ids=["html", "list", "other json", "bytes", "redirect", "404", "502"],
)
def test_something_that_is_not_questdb(status, body):
    with answering(status, body) as url, Client(url) as client:
        with pytest.raises(Unreachable) as caught:
            client.query("select 1")
        assert str(caught.value) == f"What answers at {url} is not QuestDB (HTTP {status})."


def test_a_slow_answer():
    late = pytest.raises(Unreachable, match="did not answer within 50 ms")
    with answering(200, b"{}", delay=0.5) as url, Client(url, timeout_ms=50) as client, late:
        client.execute("select 1")


@pytest.mark.parametrize(
    ("host", "says"),
    [("127.0.0.1:1", "connection refused"), ("nowhere.invalid:9000", "cannot be reached: .+")],
    ids=["refused", "no such host"],
)
def test_nothing_there(host, says):
    url = f"http://somebody:geheim@{host}"
    with Client(url, password="hunter2", connect_timeout_ms=2000) as client:
        with pytest.raises(Unreachable, match=says) as caught:
            client.query("select 'x'")
        text = f"{caught.value} {client!r} {caught.value!r}"
    assert "geheim" not in text
    assert "hunter2" not in text
    assert "\n" not in str(caught.value)
    assert f"http://{host}" in text


@pytest.mark.parametrize(
    "url", ["", "localhost:9000", "ftp://x", "http://", "http://x:port", "http://a b"]
)
def test_an_address_that_is_none(url):
    with pytest.raises(DeclarationError, match="looks like http://host:9000"):
        Client(url)


def test_a_password_in_a_bad_address_does_not_show():
    with pytest.raises(QuestDBDDLError) as caught:
        Client("http://u:geheim@host:port")
    assert "geheim" not in str(caught.value)


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"dataset": [[7]], "columns": [{"name": "x"}]}') as url:
        assert Client(url).query("select 7 x") == [{"x": 7}]
