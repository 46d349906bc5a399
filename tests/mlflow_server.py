"""A tracking server of MLflow for tests: a real one, and one in front of it that fails."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

START_SECONDS = 120.0


def serve(folder: Path) -> Iterator[str]:
    """Start a server that keeps runs in SQLite, give its address, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/runs.db"]
    words += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words],
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}", server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 9)
            server.wait()


def _wait_until_healthy(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the server of MLflow has not started:\n{log.read_text()}")


class Dying(ThreadingHTTPServer):
    """Passes on to a server what it is asked, until some metrics were logged: then it is gone."""

    daemon_threads = True

    def __init__(self, address: str, num_metrics: int) -> None:
        super().__init__(("127.0.0.1", 0), _PassOn)
        self.address, self.metrics_left = address, num_metrics
        self.uri = f"http://127.0.0.1:{self.server_port}"


class _PassOn(BaseHTTPRequestHandler):
    server: Dying

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.metrics_left <= 0:
            self.connection.close()
            return
        self.server.metrics_left -= body.count(b'"timestamp"')
        kept = ("Host", "Connection", "Accept-Encoding")
        headers = {name: value for name, value in self.headers.items() if name not in kept}
        asked = Request(self.server.address + self.path, body or None, headers, method=self.command)
        try:
            with urlopen(asked, timeout=30) as answer:
                code, content = answer.status, answer.read()
        except HTTPError as error:
            code, content = error.code, error.read()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Failing(ThreadingHTTPServer):
    """Answers 500 to everything."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Fail)
        self.uri = f"http://user:canary@127.0.0.1:{self.server_port}"


class _Fail(BaseHTTPRequestHandler):
    def _fail(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(500)

    do_GET = do_POST = _fail  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""
