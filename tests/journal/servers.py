"""A PostgreSQL that a test may stop and start, and a way to one that a test may cut."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from psycopg import conninfo

WAIT_S = "60"


def programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``, of the latest version that is installed."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A cluster of its own on a free port of this machine; it refuses to run as root, so that it runs as postgres."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.folder = Path(tempfile.mkdtemp(prefix="stepslice-postgres."))
        self.port = free_port()
        self.dsn = f"postgresql://stepslice@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.do("initdb", "-U", "stepslice", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")

    def do(self, program: str, *arguments: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*user, str(self.where / program), "-D", str(self.folder), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PGCTLTIMEOUT": WAIT_S},
        )
        assert done.returncode == 0, f"{program}: {done.stderr.decode(errors='replace')}"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.do("pg_ctl", "start", "-w", "-s", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str) -> None:
        """``fast``: as an administrator stops it; ``immediate``: as a crash does."""
        self.do("pg_ctl", "stop", "-w", "-s", "-m", mode)

    def is_running(self) -> bool:
        return (self.folder / "postmaster.pid").exists()

    def close(self) -> None:
        if self.is_running():
            self.stop("immediate")
        shutil.rmtree(self.folder)


class Proxy:
    """Passes on what goes to a server, until it is cut; then it refuses, until it is mended."""

    def __init__(self, dsn: str) -> None:
        told: dict[str, Any] = conninfo.conninfo_to_dict(dsn)
        self.target = (str(told.get("host", "127.0.0.1")), int(told.get("port", 5432)))
        self.open: list[socket.socket] = []
        self.port = free_port()
        self.dsn = conninfo.make_conninfo(dsn, host="127.0.0.1", port=self.port)
        self.mend()

    def mend(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        for one in (self.listener, *self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.open.clear()

    def cut_for_a_moment(self) -> None:
        """Break every connection."""
        self.cut()
        self.mend()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = self._to_server()
                self.open += [client, server]
                Thread(target=_pass_on, args=(client, server), daemon=True).start()
                Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _to_server(self) -> socket.socket:
        host, port = self.target
        if not host.startswith("/"):
            return socket.create_connection(self.target)
        made = socket.socket(socket.AF_UNIX)
        made.connect(f"{host}/.s.PGSQL.{port}")
        return made


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
