"""The licence registry: a small HTTP service on this machine that fails as its script says, and its client.

The service lives in the process that starts it and is asked over a socket,
so threads and worker processes meet the same outage and are counted in the same place.

    licence.register ──GET /licences/TX-MV-44107──▶ Registry ──▶ 200 {"number": …, "standing": "active", …}
                                                        │──▶ 503 while the number's state is down
                                                        │──▶ (nothing) the first time a flaky number is asked for
                                                        └──▶ 404 for a number it does not know
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Self, cast

import msgspec

from model import Registration
from problems import NotRegistered, RegistryDown

PATIENCE_S = 5.0


def look_up(address: str, number: str) -> Registration:
    """The registry's entry for a number; `RegistryDown` where asking again may help."""
    connection = HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/licences/{number}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise RegistryDown(f"no answer about {number}; try again later") from error
    finally:
        connection.close()
    if answer.status == 404:
        raise NotRegistered(f"the registry does not know {number}; ask the business")
    if answer.status != 200:
        raise RegistryDown(f"answered {answer.status} about {number}; try again later")
    return msgspec.json.decode(body, type=Registration)


class Registry:
    """The service, from `with` to the end of the block; `calls` counts what each number was asked for."""

    def __init__(self, entries: Iterable[Registration]) -> None:
        self.entries = {entry.number: entry for entry in entries}
        self.calls: Counter[str] = Counter()
        self.down: set[str] = set()
        """States whose part of the registry is out of service."""
        self.flaky: set[str] = set()
        """Numbers whose first question gets no answer."""
        self.lock = Lock()  # guards calls: each connection has a thread of its own
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.registry = self

    @property
    def address(self) -> str:
        """Host and port to ask."""
        return f"127.0.0.1:{self.server.server_port}"

    def answer(self, number: str) -> tuple[int, bytes] | None:
        """Status and body for a question; None hangs up without a word."""
        with self.lock:
            self.calls[number] += 1
            asked = self.calls[number]
        if number in self.flaky and asked == 1:
            return None
        if number.split("-")[0] in self.down:
            return 503, b""
        entry = self.entries.get(number)
        return (404, b"") if entry is None else (200, msgspec.json.encode(entry))

    def __enter__(self) -> Self:
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Server(ThreadingHTTPServer):
    """A server that its handlers can ask for the registry."""

    registry: Registry


class Handler(BaseHTTPRequestHandler):
    """One question."""

    def do_GET(self) -> None:
        """Answer as the registry says, or hang up."""
        answer = cast("Server", self.server).registry.answer(self.path.rsplit("/", 1)[-1])
        if answer is None:
            return
        status, body = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing: the demonstration prints its own account."""
