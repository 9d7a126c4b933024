"""A local server of files at plain addresses, which can cut a transfer short or refuse it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class FileServer(ThreadingHTTPServer):
    """`files` by path; of the next answers no more bytes than `cuts` say are sent, None for all.

    `requests` has the path of each, and the range it asked for.
    """

    files: dict[str, bytes]
    cuts: list[int | None]
    requests: list[str]
    status = 200
    etag = '"one"'

    @property
    def address(self) -> str:
        """What every address starts with."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range", "")
        server.requests.append(f"{self.path} {asked}".strip())
        # Before any answer: the next request may come as soon as its headers are read.
        cut = server.cuts.pop(0) if server.cuts else None
        content = server.files.get(self.path.partition("?")[0])
        if content is None or server.status != 200:
            self.send_error(404 if content is None else server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        self.send_response(206 if start else 200)
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content[start:][:cut])


@contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Run a server of these files."""
    server = FileServer(("127.0.0.1", 0), _Handler)
    server.files, server.cuts, server.requests = dict(files), [], []
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
