"""A download under every fault: the server's bytes, or one line with the rest kept.

Each case starts with the part of the zip that an earlier run left, runs the real Kaggle client in
a process of its own against a stand-in for Kaggle's server, and looks for credentials in
everything that was printed or written. Where it ends in an error, a later run must go on from the
very bytes that are there.
"""

import io
import json
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from fake_kaggle import (
    KEY,
    LEGACY_KEY,
    PORTAL,
    PUBLIC,
    SIGNATURE,
    TOKEN,
    USER,
    Answer,
    FakeKaggle,
    Hold,
    environment,
    serve,
)

from chestxray14.base import locks
from chestxray14.raw import fetch, kaggle_dataset
from chestxray14.raw.archive import open_archive

SLUG = "nih-chest-xrays/data/3"
NAME = "nih-chest-xrays-data-3.zip"
PART = f"{NAME}.part"
MIB = 2**20
EARLIER = MIB + 5
"""Bytes of the zip that an earlier run left."""

# Waits are printed and not waited.
DOWNLOAD = """
import resource, signal, sys, time
from pathlib import Path
# A shell has what it starts in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
time.sleep = lambda seconds: print(f"waited {seconds:g} s")
from chestxray14.base import stage
from chestxray14.raw import fetch, kaggle_api, kaggle_dataset
fetch.TIMEOUT = float(sys.argv[1])
kaggle_api.PUBLIC = sys.argv[4]
stage.run(lambda: print(kaggle_dataset.download_dataset(sys.argv[2], Path("raw"))))
"""

USER_VARIABLE = "KAGGLE_USERNAME"
JSON = {"Content-Type": "application/json"}
EXPIRED = Answer(
    400, {"Content-Type": "application/xml"}, b"<Error><Code>ExpiredToken</Code></Error>"
)
FOREVER = len(fetch.WAITS) + 1
LONG_TOKEN = "KGAT_" + "long-token" * 30
REFRESH = "refresh-token-of-an-earlier-login"
REJECTED = ("credentials are missing or rejected", "KAGGLE_API_TOKEN", "README")
OAUTH = json.dumps(
    {
        "refresh_token": REFRESH,
        "access_token": TOKEN,
        "access_token_expiration": "2020-01-01T00:00:00+00:00",
        "username": USER,
    }
)


def zip_of(seed: int) -> bytes:
    """Return a small dataset in the Kaggle layout, 3 MiB of which do not compress."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        noise = np.random.default_rng(seed).bytes(3 * MIB)
        archive.writestr("images_001/images/00000001_000.png", noise)
        archive.writestr("Data_Entry_2017.csv", "Image Index\n00000001_000.png\n")
    return file.getvalue()


FIRST, SECOND = zip_of(0), zip_of(1)
ETAG = FakeKaggle(slug=SLUG, archive=FIRST).etag


@dataclass(frozen=True)
class Outcome:
    """How a process ended and what it printed."""

    status: int
    out: str
    err: str


def closed_port() -> int:
    """Return a port of this machine that refuses connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Case:
    """A fault, and what the user is to see of it.

    `fault` holds the fields of `FakeKaggle` that differ, `settings` the files in ~/.kaggle, and
    `says` what the error line holds; it is empty where the right bytes are to come.
    """

    fault: dict[str, object] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=lambda: LEGACY_KEY)
    settings: dict[str, str] = field(default_factory=dict)
    surroundings: Callable[[], dict[str, str]] = dict
    timeout: float = 60
    says: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()

    def secrets(self) -> set[str]:
        """Return what nobody may ever read."""
        mine = {text.strip() for name, text in self.credentials.items() if name != USER_VARIABLE}
        return {KEY, TOKEN, REFRESH, SIGNATURE, *mine}


def ends(fault: dict[str, object], *prints: str) -> Case:
    """Name a fault that a download gets over, and what it prints."""
    return Case(fault, prints=prints)


def stops(fault: dict[str, object], *says: str) -> Case:
    """Name a fault that stops a download, and what its error line holds."""
    return Case(fault, says=says)


def rejected(credentials: dict[str, str], *says: str, **settings: str) -> Case:
    """Name credentials that do not work."""
    return Case(
        credentials=credentials,
        settings={name.replace("_json", ".json"): text for name, text in settings.items()},
        says=says or REJECTED,
    )


KEPT = ("without progress", "stay in", "the same command goes on from there")

CASES = {
    "nothing wrong": ends({}),
    "no credentials": rejected({}),
    "wrong key": rejected({"KAGGLE_USERNAME": USER, "KAGGLE_KEY": "wrong-key"}),
    "wrong token": rejected({"KAGGLE_API_TOKEN": "KGAT_wrong"}),
    "token with a line end": rejected({"KAGGLE_API_TOKEN": f"{TOKEN}\n"}),
    "token too long for a file name": rejected(
        {"KAGGLE_API_TOKEN": LONG_TOKEN}, "File name too long", "KAGGLE_API_TOKEN"
    ),
    "key in another script": rejected({"KAGGLE_USERNAME": USER, "KAGGLE_KEY": "ключ"}),
    "kaggle.json without a key": rejected({}, kaggle_json='{"username": "someone"}'),
    "kaggle.json that is cut": rejected({}, kaggle_json=f'{{"key": "{KEY}", "usern'),
    "kaggle.json that is a list": rejected({}, kaggle_json=f'["{KEY}"]'),
    "login that expired": rejected({}, credentials_json=OAUTH),
    "token that expires between attempts": Case(
        {"transfers": [1000], "accepts_credentials": 1},
        credentials={"KAGGLE_API_TOKEN": TOKEN},
        says=REJECTED,
    ),
    "key that expires between attempts": stops(
        {"transfers": [MIB + 9], "accepts_credentials": 1}, *REJECTED
    ),
    "terms not accepted, 403": stops(
        {"api": [Answer(403, JSON, b'{"code": 403, "message": "no"}')]}, "(403)", "terms"
    ),
    "no such version, 404": stops({"slug": "nih-chest-xrays/data/2"}, SLUG, "(404)"),
    "request refused, 400": stops({"api": [Answer(400)]}, "refuses the request (400)"),
    "429 of Kaggle": ends({"api": [Answer(429, {"Retry-After": "7"})]}, "429", "waited 7 s"),
    "429 of the storage": ends(
        {"transfers": [Answer(429, {"Retry-After": "9"})]}, "429", "waited 9 s"
    ),
    "429 for a year": ends({"api": [Answer(429, {"Retry-After": "9" * 400})]}, "waited 3600 s"),
    "429 until a date": ends(
        {"api": [Answer(429, {"Retry-After": "Fri, 31 Dec 2049 23:59:59 GMT"})]}, "waited 2 s"
    ),
    "500 and 503 of Kaggle": ends({"api": [Answer(500), Answer(503)]}, "500", "503", "waited 5 s"),
    "500 and 503 of the storage": ends({"transfers": [Answer(500), Answer(503)]}, "500", "503"),
    "503 of Kaggle for ever": stops({"api": [Answer(503)] * FOREVER}, "503", *KEPT),
    "503 of the storage for ever": stops({"transfers": [Answer(503)] * FOREVER}, "503", *KEPT),
    "connection to Kaggle refused": Case(
        surroundings=lambda: {
            name: f"http://{USER}:{KEY}@127.0.0.1:{closed_port()}"
            for name in ("HTTP_PROXY", "http_proxy")
        },
        says=("the connection failed", *KEPT),
    ),
    "connection to the storage refused": Case(
        {"storage": f"http://127.0.0.1:{closed_port()}/storage"},
        surroundings=lambda: {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        says=("the connection failed", *KEPT),
    ),
    "hung up without a word": ends({"api": [Answer(0)], "transfers": [Answer(0)]}, "failed"),
    "silence": Case({"transfers": [Hold(MIB + 9)]}, timeout=0.5, prints=("failed",)),
    "silence of Kaggle": Case({"silent": ["DownloadDataset"]}, timeout=2, prints=("failed",)),
    "silence at signing in": Case(
        {"silent": ["IntrospectToken"] * 3},
        credentials={"KAGGLE_API_TOKEN": TOKEN},
        timeout=2,
        prints=("failed",),
    ),
    "cut in the middle": ends({"transfers": [MIB + 9]}, "waited 2 s"),
    "cut again and again": ends({"transfers": [9, 0, MIB + 9, 9]}, "waited 5 s"),
    "address expires in the middle": ends({"transfers": [MIB + 9, EXPIRED]}, "answered 400"),
    "address refused, 403": ends({"transfers": [MIB + 9, Answer(403)]}, "answered 403"),
    "addresses expire for ever": stops({"transfers": [EXPIRED] * FOREVER}, "400", *KEPT),
    "no ranges": ends({"knows_ranges": False}),
    "no ranges, and cut before what is here": ends(
        {"knows_ranges": False, "transfers": [MIB, MIB + 9, 9]}, "waited 15 s"
    ),
    "no ranges, and cut for ever": stops(
        {"knows_ranges": False, "transfers": [MIB] * FOREVER}, *KEPT
    ),
    "another range than asked for": ends(
        {"transfers": [Answer(206, {"Content-Range": "bytes 7-20/99"}, b"x" * 14)]}, "range"
    ),
    "file changed since the last run": ends({"archive": SECOND}),
    "file changed, and no byte of it comes": stops(
        {"archive": SECOND, "transfers": [Answer(503)] * FOREVER}, "503", *KEPT
    ),
    "file changes between look and transfer": ends({"changes_to": SECOND}, "changed between"),
    "file changes between attempts": ends(
        {"transfers": [MIB + 9, Answer(503)], "changes_to": SECOND}, "503"
    ),
    "length announced too long": stops({"announced_length": len(FIRST) + 1000}, *KEPT),
    "length announced too short": stops({"looked_length": len(FIRST) - 9}, "bytes, not", *KEPT),
    "page of the network instead of Kaggle": stops(
        {"api": [PORTAL] * FOREVER}, "something else than a zip", *KEPT
    ),
    "page of the network instead of the zip": ends({"transfers": [PORTAL]}, "changed between"),
    "malformed header": ends({"header_line": b"no colon in this line\r\n"}),
    "malformed md5": ends({"md5_header": "abc"}),
    "disk too small": stops({"announced_length": 10**18}, "not enough disk space", "needed"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder whose `raw` has the first bytes of the zip."""
    raw = tmp_path / "here" / "raw"
    raw.mkdir(parents=True)
    (raw / PART).write_bytes(FIRST[:EARLIER])
    (raw / f"{PART}.etag").write_text(ETAG)
    return raw.parent


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in `raw` by name, but for the lock, which stays."""
    here = {file.name: file.read_bytes() for file in (folder / "raw").iterdir()}
    assert here.pop(f"{NAME}.lock", b"").decode().strip("0123456789") == ""
    return here


def start(
    folder: Path,
    surroundings: Mapping[str, str],
    *,
    credentials: Mapping[str, str] = LEGACY_KEY,
    timeout: float = 60,
    most: int = -1,
) -> subprocess.Popen[str]:
    """Start a download in which no file may come to more than `most` bytes."""
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, str(timeout), SLUG, str(most), PUBLIC],
        cwd=folder,
        env=environment(folder.parent / "home", credentials) | surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)


def bring(folder: Path, kaggle: FakeKaggle, case: Case) -> Outcome:
    """Download as a case says."""
    settings = folder.parent / "home" / ".kaggle"
    settings.mkdir(parents=True, exist_ok=True)
    for name, text in case.settings.items():
        (settings / name).write_text(text)
    holds = [fault for fault in kaggle.transfers if isinstance(fault, Hold)]
    with serve(kaggle) as redirected:
        process = start(
            folder,
            redirected | case.surroundings(),
            credentials=case.credentials,
            timeout=case.timeout,
        )
        outcome = finish(process)
        for hold in holds:
            hold.release.set()
    return outcome


def assert_secret(case: Case, outcome: Outcome, written: Mapping[str, bytes]) -> None:
    """Check that no credential and no signature is left in print or in a file."""
    for secret in case.secrets():
        assert secret not in outcome.out + outcome.err
        assert not [name for name, content in written.items() if secret.encode() in content]


def assert_one_line(outcome: Outcome, *parts: str) -> None:
    assert outcome.status == 1
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for part in parts:
        assert part in outcome.err


def assert_goes_on(folder: Path) -> None:
    """Check that what is here is a beginning of the zip, and that a later run brings the rest."""
    kept = files(folder)[PART]
    assert len(kept) >= EARLIER
    assert FIRST.startswith(kept)
    kaggle = FakeKaggle(slug=SLUG, archive=FIRST)
    outcome = bring(folder, kaggle, Case())
    assert (outcome.status, outcome.err) == (0, "")
    rest = [f"transfer bytes={len(kept)}-"] if len(kept) < len(FIRST) else []
    assert kaggle.requests == ["DownloadDataset", "look", *rest]
    assert files(folder) == {NAME: FIRST}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_ends_in_the_servers_bytes_or_in_one_line_with_the_rest_kept(
    folder: Path, name: str
) -> None:
    case = CASES[name]
    earlier = files(folder)
    kaggle = FakeKaggle(**{"slug": SLUG, "archive": FIRST} | case.fault)
    outcome = bring(folder, kaggle, case)
    assert_secret(case, outcome, files(folder))
    for text in case.prints:
        assert text in outcome.out
    if not case.says:
        assert (outcome.status, outcome.err) == (0, "")
        assert files(folder) == {NAME: kaggle.archive}
        return
    assert_one_line(outcome, *case.says)
    # That a later run goes on from the earlier state is what the case "nothing wrong" shows.
    if files(folder) != earlier:
        assert_goes_on(folder)


def test_a_full_disk_is_said_and_what_fitted_is_kept(folder: Path) -> None:
    # A limit on the size of files stands in for the disk: in both, write() takes the bytes that
    # still fit, in the middle of a block, and fails from then on. Only the error's name differs.
    kaggle = FakeKaggle(slug=SLUG, archive=FIRST)
    with serve(kaggle) as redirected:
        outcome = finish(start(folder, redirected, most=2 * MIB + 12345))
    assert_one_line(outcome, PART, "too large", "what was downloaded stays", "goes on from there")
    assert_secret(Case(), outcome, files(folder))
    assert len(files(folder)[PART]) == 2 * MIB + 12345
    assert_goes_on(folder)


def kill_again_and_again(folder: Path, *, times: int, seed: int) -> None:
    """Kill a download after so many random numbers of bytes; nothing on the disk may be lost."""
    rng = np.random.default_rng(seed)
    part = folder / "raw" / PART
    kaggle = FakeKaggle(slug=SLUG, archive=FIRST)
    with serve(kaggle) as redirected:
        for kill in range(times):
            before = part.stat().st_size
            hold = Hold(int(rng.integers(len(FIRST) - before)))
            kaggle.transfers = [hold]
            process = start(folder, redirected)
            assert hold.reached.wait(60)
            # Every second time once all whole blocks were written, but for the last buffer.
            written = before + hold.after // MIB * MIB - io.DEFAULT_BUFFER_SIZE
            while kill % 2 and part.stat().st_size < written and process.poll() is None:
                hold.release.wait(0.002)
            process.kill()
            hold.release.set()
            assert finish(process).status == -signal.SIGKILL
            assert part.stat().st_size >= before
            assert FIRST.startswith(part.read_bytes())
    assert_goes_on(folder)


def test_a_killed_download_goes_on_from_every_byte_that_was_written(folder: Path) -> None:
    kill_again_and_again(folder, times=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_kills_cost_no_byte(folder: Path, seed: int) -> None:
    kill_again_and_again(folder, times=5, seed=seed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_download_that_goes_on_later(folder: Path, number: signal.Signals) -> None:
    hold = Hold(MIB + 9)
    with serve(FakeKaggle(slug=SLUG, archive=FIRST, transfers=[hold])) as redirected:
        process = start(folder, redirected)
        assert hold.reached.wait(60)
        process.send_signal(number)
        outcome = finish(process)
        hold.release.set()
    assert outcome.status == 130
    assert outcome.err == "stopped; the same command goes on from what is saved\n"
    assert_goes_on(folder)


def test_of_two_downloads_at_once_the_second_says_so_and_the_first_goes_on(folder: Path) -> None:
    hold = Hold(MIB + 9)
    with serve(FakeKaggle(slug=SLUG, archive=FIRST, transfers=[hold])) as redirected:
        first = start(folder, redirected)
        assert hold.reached.wait(60)
        second = finish(start(folder, redirected))
        hold.release.set()
        assert finish(first).status == 0
    assert_one_line(second, PART, f"process {first.pid} is downloading")
    assert files(folder) == {NAME: FIRST}


def test_a_zip_that_another_process_completes_meanwhile_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = folder / "raw"
    hold = locks.hold

    def complete_and_hold(path: Path, *, doing: str) -> AbstractContextManager[None]:
        (raw / PART).write_bytes(FIRST)
        (raw / PART).replace(raw / NAME)
        return hold(path, doing=doing)

    monkeypatch.setattr(fetch, "hold", complete_and_hold)
    monkeypatch.setattr(kaggle_dataset, "locate", lambda *_, **__: pytest.fail("asked Kaggle"))
    assert kaggle_dataset.download_dataset(SLUG, raw) == raw / NAME
    assert (raw / NAME).read_bytes() == FIRST


def test_a_zip_that_was_whole_when_its_download_was_killed_is_not_brought_again(
    folder: Path,
) -> None:
    (folder / "raw" / PART).write_bytes(FIRST)
    assert_goes_on(folder)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"transfers": [MIB + 9, EXPIRED], "header_line": b"no colon in this line\r\n"}, 0),
        ({"announced_length": 10**18}, 1),
    ],
    ids=["over a fault", "stopped by a fault"],
)
def test_the_stage_describes_what_it_brought_and_names_no_credential(
    tmp_path: Path, fault: dict[str, object], status: int
) -> None:
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = params.replace("\ndataset: phantom\n", "\ndataset: nih\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "params.yaml").write_text(params, encoding="utf-8")
    script = (
        "import runpy, time; time.sleep = print;"
        f"runpy.run_path({str(ROOT / 'src/stages/download.py')!r}, run_name='__main__')"
    )
    with serve(FakeKaggle(**{"slug": SLUG, "archive": FIRST} | fault)) as redirected:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=project,
            env=environment(tmp_path / "home", LEGACY_KEY) | redirected,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    written = {
        file.relative_to(project / "data" / "raw").as_posix(): file.read_bytes()
        for file in (project / "data").rglob("*")
        if file.is_file()
    }
    assert_secret(Case(), Outcome(done.returncode, done.stdout, done.stderr), written)
    assert done.returncode == status
    assert ("nih.json" in written) == (status == 0)
    if status == 0:
        described = open_archive(project / "data" / "raw" / "nih" / NAME).describe(
            tables=["Data_Entry_2017.csv"]
        )
        assert json.loads(written["nih.json"]) == {
            "source": "kaggle",
            "labels": "Data_Entry_2017.csv",
            **described,
        }
        assert set(written) == {"nih.json", "nih.origin.json", f"nih/{NAME}", f"nih/{NAME}.lock"}
