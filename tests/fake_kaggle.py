"""A local stand-in for Kaggle's server that the real client talks to.

It is the client's HTTP proxy, so that nothing is patched: `KAGGLE_API_ENVIRONMENT=LOCALHOST`
makes the client ask `http://localhost`, and the proxy answers in its place. A dataset is asked
for by a POST, which is redirected to a signed address of the storage, as Kaggle does.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER = "someone"
KEY = "0123456789abcdef-the-key"
TOKEN = "KGAT_fedcba9876543210-the-token"
SIGNATURE = "signature-of-an-address"
PUBLIC = "http://localhost/api/v1/datasets/download"
"""Where the stand-in gives a dataset to those without credentials."""
LEGACY_KEY = {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}


@dataclass
class Answer:
    """What the server says instead of the regular answer; status 0 hangs up without a word."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Hold:
    """Stop after so many bytes, and go on when the test has set `release`."""

    after: int
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


PORTAL = Answer(200, {"Content-Type": "text/html"}, b"<html>Sign in to use this network.</html>")
"""What a network that wants a sign-in of its own says to everything."""


@dataclass
class FakeKaggle:
    """The one dataset the server has, what goes wrong with it, and what was asked.

    The client looks at a signed address once, when it is redirected there, and reads no more
    than the headers; each later request on the address is a transfer.
    """

    slug: str
    archive: bytes
    sends_md5: bool = True
    knows_ranges: bool = True
    public: bool = False
    """Whether the address without credentials leads to the storage too."""
    announced_length: int | None = None
    """Content-Length of the whole file, where it is not the true one."""
    looked_length: int | None = None
    """The same for a look alone."""
    md5_header: str | None = None
    """What stands after `md5=`, where it is not the true one."""
    header_line: bytes = b""
    """A line among the headers of the storage."""
    accepts_credentials: int | None = None
    """For how many requests for the dataset credentials are good, where not for ever."""
    storage: str = "http://localhost/storage"
    changes_to: bytes | None = None
    """The archive from the next transfer on."""
    silent: list[str] = field(default_factory=list)
    """Calls, by name, that get no answer, once each."""
    api: list[Answer] = field(default_factory=list)
    """Answers to the next requests for the dataset."""
    transfers: list[Answer | Hold | int] = field(default_factory=list)
    """For the next transfers: an answer, a hold, or the bytes after which to cut."""
    requests: list[str] = field(default_factory=list)
    """Each request so far: the name of the call, `look`, or `transfer <Range>`."""
    looked: set[str] = field(default_factory=set)

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.archive).hexdigest()}"'


@contextmanager
def serve(kaggle: FakeKaggle) -> Iterator[dict[str, str]]:
    """Run the server and yield the environment in which the real client talks to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kaggle))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "HTTP_PROXY": address,
            "http_proxy": address,
            "NO_PROXY": "",
            "no_proxy": "",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(home: Path, credentials: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with no Kaggle account but `credentials` and `home`'s."""
    mine = ("KAGGLE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CHESTXRAY14_")
    others = {k: v for k, v in os.environ.items() if not k.upper().startswith(mine)}
    settings = home / ".kaggle"
    settings.mkdir(parents=True, exist_ok=True)
    return {**others, "HOME": str(home), "KAGGLE_CONFIG_DIR": str(settings), **credentials}


def _query(slug: str) -> str:
    owner, name, version = slug.split("/")
    return f"{owner}/{name}?datasetVersionNumber={version}"


def _handler(kaggle: FakeKaggle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle(self) -> None:
            # The client hangs up after it looked at the headers.
            with suppress(ConnectionError):
                super().handle()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            call = self.path.rpartition("/")[2]
            kaggle.requests.append(call)
            if call in kaggle.silent:
                kaggle.silent.remove(call)
                self.rfile.read(1)  # until the client hangs up
            elif call == "IntrospectToken":
                active = body["token"] == TOKEN and self._still_good()
                self._say_json(200, {"active": active, "username": USER if active else None})
            elif call == "GenerateAccessToken":
                self._say_json(400, {"code": 400, "message": "refresh token has expired"})
            elif not (self._signed_in() and self._still_good()):
                self._say_json(401, {"code": 401, "message": "Unauthenticated"})
            elif call != "DownloadDataset":
                self._say_json(404, {"code": 404, "message": f"no call {call}"})
            elif kaggle.api:
                self._say(kaggle.api.pop(0))
            elif self._asked_for(body) != kaggle.slug:
                self._say_json(404, {"code": 404, "message": "Dataset not found"})
            else:
                self._lead_to_storage()

        def _lead_to_storage(self) -> None:
            number = len(kaggle.requests)
            where = f"{kaggle.storage}/archive.zip?Signature={SIGNATURE}-{number}"
            self._say(Answer(302, {"Location": where}))

        def do_GET(self) -> None:
            if self.path.startswith(PUBLIC):
                kaggle.requests.append("public")
                if kaggle.public and self.path == f"{PUBLIC}/{_query(kaggle.slug)}":
                    self._lead_to_storage()
                else:
                    self._say(Answer(403))
                return
            signature = parse_qs(urlsplit(self.path).query).get("Signature", [""])[0]
            if not signature:
                self._say(PORTAL)
                return
            if signature not in kaggle.looked:
                kaggle.looked.add(signature)
                kaggle.requests.append("look")
                self._send_archive(None, length=kaggle.looked_length)
                return
            kaggle.requests.append(f"transfer {self.headers.get('Range', '')}".strip())
            if kaggle.changes_to:
                kaggle.archive, kaggle.changes_to = kaggle.changes_to, None
            fault = kaggle.transfers.pop(0) if kaggle.transfers else None
            if isinstance(fault, Answer):
                self._say(fault)
            else:
                self._send_archive(fault)

        def _signed_in(self) -> bool:
            basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
            return self.headers["Authorization"] in (f"Basic {basic}", f"Bearer {TOKEN}")

        def _still_good(self) -> bool:
            asked = kaggle.requests.count("DownloadDataset")
            return kaggle.accepts_credentials is None or asked <= kaggle.accepts_credentials

        def _asked_for(self, body: dict[str, Any]) -> str:
            return f"{body['ownerSlug']}/{body['datasetSlug']}/{body['datasetVersionNumber']}"

        def _send_archive(self, fault: Hold | int | None, *, length: int | None = None) -> None:
            start = 0
            unchanged = self.headers.get("If-Range", kaggle.etag) == kaggle.etag
            if kaggle.knows_ranges and unchanged and "Range" in self.headers:
                start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            length = length or kaggle.announced_length or len(kaggle.archive)
            self.send_response(206 if start else 200)
            self.send_header("ETag", kaggle.etag)
            self.send_header("Content-Length", str(length - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{length - 1}/{length}")
            if kaggle.sends_md5:
                md5 = base64.b64encode(hashlib.md5(kaggle.archive).digest()).decode()
                self.send_header("x-goog-hash", f"crc32c=AAAAAA==, md5={kaggle.md5_header or md5}")
            self.flush_headers()
            self.wfile.write(kaggle.header_line)
            self.end_headers()
            part = kaggle.archive[start:length]
            if isinstance(fault, Hold):
                self.wfile.write(part[: fault.after])
                fault.reached.set()
                fault.release.wait()
                self.wfile.write(part[fault.after :])
            else:
                self.wfile.write(part[:fault])
            self.close_connection = fault is not None or length != len(kaggle.archive)

        def _say_json(self, status: int, content: dict[str, Any]) -> None:
            kind = {"Content-Type": "application/json"}
            self._say(Answer(status, kind, json.dumps(content).encode()))

        def _say(self, answer: Answer) -> None:
            if not answer.status:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    return Handler
