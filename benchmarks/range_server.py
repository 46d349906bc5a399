"""A store of one folder that answers ranges, sizes and lists as S3 does, each a while too late.

    python benchmarks/range_server.py FOLDER MILLISECONDS

Prints its port. ``GET /-requests`` gives how many requests there were since it was asked last.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Server(ThreadingHTTPServer):
    """The folder, the delay, and the count."""

    daemon_threads = True

    def __init__(self, folder: Path, delay_seconds: float) -> None:
        """Take any port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.delay_seconds, self.num_requests = folder, delay_seconds, 0


class Handler(BaseHTTPRequestHandler):
    """Answers ``/bucket/key``; the bucket may have any name."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a file's bytes, or a range of them, or a list."""
        if self.path == "/-requests":
            count, self.server.num_requests = self.server.num_requests, 0
            return self._answer(200, str(count).encode())
        self._wait()
        url = urlsplit(self.path)
        if "list-type" in parse_qs(url.query):
            return self._list(parse_qs(url.query).get("prefix", [""])[0])
        file = self._file()
        if not file.is_file():
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        size = file.stat().st_size
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or size), size - 1)
        headers = (
            {"Content-Range": f"bytes {start}-{end}/{size}"} if "Range" in self.headers else {}
        )
        self._head(206 if headers else 200, end + 1 - start, headers | _about(file))
        self.wfile.flush()
        with file.open("rb") as stream:
            while start <= end:
                sent = os.sendfile(
                    self.connection.fileno(), stream.fileno(), start, end + 1 - start
                )
                start += sent

    def do_HEAD(self) -> None:
        """Give a file's size."""
        self._wait()
        file = self._file()
        if file.is_file():
            self._head(200, file.stat().st_size, _about(file))
        else:
            self._head(404, 0, {})

    def _wait(self) -> None:
        self.server.num_requests += 1
        time.sleep(self.server.delay_seconds)

    def _file(self) -> Path:
        return self.server.folder / unquote(urlsplit(self.path).path).strip("/").partition("/")[2]

    def _list(self, prefix: str) -> None:
        files = sorted(self.server.folder.rglob("*"))
        keys = [path.relative_to(self.server.folder).as_posix() for path in files if path.is_file()]
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key>"
            f"<Size>{(self.server.folder / key).stat().st_size}</Size>"
            "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        self._answer(200, f"<ListBucketResult>{found}</ListBucketResult>".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self._head(status, len(body), {"Content-Type": "application/xml"})
        self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _about(file: Path) -> dict[str, str]:
    modified = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(file.stat().st_mtime))
    return {"Last-Modified": modified, "ETag": '"one"', "Accept-Ranges": "bytes"}


if __name__ == "__main__":
    server = Server(Path(sys.argv[1]), float(sys.argv[2]) / 1000)
    print(server.server_port, flush=True)
    server.serve_forever()
