"""The real Kaggle client, in a process of its own, against a stand-in for Kaggle's server."""

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fake_kaggle import (
    KEY,
    LEGACY_KEY,
    PUBLIC,
    SIGNATURE,
    TOKEN,
    FakeKaggle,
    environment,
    serve,
)

SLUG = "nih-chest-xrays/data/3"
MIB = 2**20
CHILD = """
import sys
from pathlib import Path
from chestxray14.base import stage
from chestxray14.raw import fetch, kaggle_api, kaggle_dataset
fetch.WAITS = (0,) * int(sys.argv[3])
kaggle_api.PUBLIC = sys.argv[4]
stage.run(lambda: print(kaggle_dataset.download_dataset(sys.argv[1], Path(sys.argv[2]))))
"""


@dataclass(frozen=True)
class Outcome:
    """How a process ended and what it printed."""

    status: int
    out: str
    err: str


def zip_of(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images_001/images/00000001_000.png", content)
    return file.getvalue()


@pytest.fixture
def kaggle() -> FakeKaggle:
    return FakeKaggle(slug=SLUG, archive=zip_of(np.random.default_rng(0).bytes(3 * MIB)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "nih"


def bring(
    kaggle: FakeKaggle,
    folder: Path,
    *,
    slug: str = SLUG,
    credentials: dict[str, str] = LEGACY_KEY,
    further_attempts: int = 2,
) -> Outcome:
    """Call `download_dataset` as a stage would; no credential may ever be printed."""
    home = folder.parent.parent / "home"
    arguments = [slug, str(folder), str(further_attempts), PUBLIC]
    with serve(kaggle) as redirected:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *arguments],
            env=environment(home, credentials) | redirected,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    for secret in (KEY, TOKEN, SIGNATURE, credentials.get("KAGGLE_API_TOKEN", TOKEN).strip()):
        assert secret not in done.stdout + done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


def assert_one_line(outcome: Outcome, *parts: str) -> None:
    """Check for exit status 1 and one line, free of the client's own help, that holds `parts`."""
    assert outcome.status == 1
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.out == ""
    for part in parts:
        assert part in outcome.err


@pytest.mark.parametrize(
    "credentials", [LEGACY_KEY, {"KAGGLE_API_TOKEN": TOKEN}], ids=["key", "token"]
)
def test_a_download_has_the_servers_bytes_and_leaves_a_lock_alone_beside_them(
    kaggle: FakeKaggle, folder: Path, credentials: dict[str, str]
) -> None:
    outcome = bring(kaggle, folder, credentials=credentials)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == str(folder / "nih-chest-xrays-data-3.zip")
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == kaggle.archive
    zip_name = "nih-chest-xrays-data-3.zip"
    assert {path.name for path in folder.iterdir()} == {zip_name, f"{zip_name}.lock"}


def test_without_credentials_the_public_address_gives_it_and_resumes(
    kaggle: FakeKaggle, folder: Path
) -> None:
    kaggle.public = True
    kaggle.transfers = [MIB + 1000]
    assert bring(kaggle, folder, credentials={}).status == 0
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == kaggle.archive
    assert kaggle.requests == [
        *("public", "look", "transfer"),
        *("public", "look", f"transfer bytes={MIB}-"),
    ]


def test_where_the_public_address_is_refused_a_line_says_how_to_get_a_token(
    kaggle: FakeKaggle, folder: Path
) -> None:
    outcome = bring(kaggle, folder, credentials={})
    assert_one_line(outcome, SLUG, "https://www.kaggle.com/settings", "KAGGLE_API_TOKEN")
    assert kaggle.requests == ["public"]


def test_a_zip_that_is_there_needs_no_request_and_no_credentials(
    kaggle: FakeKaggle, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "nih-chest-xrays-data-3.zip").write_bytes(b"whole")
    outcome = bring(kaggle, folder, credentials={})
    assert (outcome.status, outcome.out) == (0, f"{folder / 'nih-chest-xrays-data-3.zip'}\n")
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == b"whole"
    assert kaggle.requests == []


def test_too_little_disk_space_is_said_before_the_first_byte(
    kaggle: FakeKaggle, folder: Path
) -> None:
    kaggle.announced_length = 10**18
    outcome = bring(kaggle, folder)
    assert_one_line(outcome, str(folder), "1,000,000,000.00 GB needed", "GB free")
    assert kaggle.requests == ["DownloadDataset", "look"]
    assert (folder / "nih-chest-xrays-data-3.zip.part").stat().st_size == 0


def test_a_cut_connection_is_resumed_on_a_fresh_address(kaggle: FakeKaggle, folder: Path) -> None:
    # Whole MiB are kept: a cut in the second or third one leaves those before it.
    kaggle.transfers = [MIB + 1000, MIB + 1000]
    assert bring(kaggle, folder).status == 0
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == kaggle.archive
    assert kaggle.requests == [
        *("DownloadDataset", "look", "transfer"),
        *("DownloadDataset", "look", f"transfer bytes={MIB}-"),
        *("DownloadDataset", "look", f"transfer bytes={2 * MIB}-"),
    ]


def test_a_later_process_goes_on_from_what_an_earlier_one_left(
    kaggle: FakeKaggle, folder: Path
) -> None:
    kaggle.transfers = [2 * MIB + 1000]
    stopped = bring(kaggle, folder, further_attempts=0)
    assert stopped.status == 1
    assert "goes on from there" in stopped.err
    assert not (folder / "nih-chest-xrays-data-3.zip").exists()
    assert bring(kaggle, folder).status == 0
    assert kaggle.requests[-1] == f"transfer bytes={2 * MIB}-"
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == kaggle.archive


def test_a_partial_file_of_another_archive_is_not_continued(
    kaggle: FakeKaggle, folder: Path
) -> None:
    kaggle.transfers = [2 * MIB + 1000]
    bring(kaggle, folder, further_attempts=0)
    kaggle.archive = zip_of(np.random.default_rng(1).bytes(3 * MIB))
    assert bring(kaggle, folder).status == 0
    assert kaggle.requests[-1] == "transfer"
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == kaggle.archive


@pytest.mark.parametrize("sends_md5", [True, False], ids=["by its md5", "by its structure"])
def test_a_damaged_download_is_recognised_and_removed(
    kaggle: FakeKaggle, folder: Path, sends_md5: bool
) -> None:
    folder.mkdir(parents=True)
    (folder / "nih-chest-xrays-data-3.zip.part").write_bytes(b"x" * len(kaggle.archive))
    (folder / "nih-chest-xrays-data-3.zip.part.etag").write_text(kaggle.etag)
    kaggle.sends_md5 = sends_md5
    outcome = bring(kaggle, folder)
    assert outcome.status == 1
    assert ("md5" if sends_md5 else "not a zip") in outcome.err
    assert not (folder / "nih-chest-xrays-data-3.zip.part").exists()
    assert bring(kaggle, folder).status == 0
    assert (folder / "nih-chest-xrays-data-3.zip").read_bytes() == kaggle.archive
