"""Files of radiologists' readings are pinned; where one is not here, it is said where it is."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests

from chestxray14.base.errors import InputError
from chestxray14.raw import experts as raw_experts
from chestxray14.raw.experts import bring_experts, read_expert_file
from chestxray14.raw.params import ExpertFile, Experts


def pin(path: Path, content: bytes) -> ExpertFile:
    return ExpertFile(path=str(path), sha256=hashlib.sha256(content).hexdigest())


def choose(**sets: Any) -> Experts:
    nothing = dict.fromkeys(("all_findings", "four_findings", "chestx_det"))
    return Experts.model_validate(nothing | sets)


def test_the_content_is_pinned_packed_or_not(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_bytes(b"x,y\n")
    packed.write_bytes(gzip.compress(b"x,y\n"))
    for path in (plain, packed):
        assert read_expert_file(pin(path, b"x,y\n")) == b"x,y\n"
        with pytest.raises(InputError, match=r"a\.csv.*: found content of sha256 .*, expected "):
            read_expert_file(pin(path, b"other"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"x,y\n" * 100)[:-9])
    with pytest.raises(InputError, match=r"a\.csv\.gz is no whole gzip file"):
        read_expert_file(pin(tmp_path / "a.csv.gz", b""))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("all_findings", ("s41598-021-93967-2", "research and education", "form", "gs://gcs-pub")),
        ("four_findings", ("radiol.2019191293", "form", "torchxrayvision")),
    ],
)
def test_what_is_not_here_and_has_no_address_is_said(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    file = pin(tmp_path / "missing.csv", b"")
    chosen = {"labels": file if name == "all_findings" else [file], "readers": file}
    with pytest.raises(InputError) as caught:
        bring_experts(choose(**{name: chosen}))
    assert all(word in str(caught.value) for word in ("missing.csv", *words))


class Answer:
    """What a server answers to any address."""

    def __init__(self, content: bytes, status: int) -> None:
        self.content, self.status_code = content, status

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            response = requests.Response()
            response.status_code = self.status_code
            raise requests.HTTPError(response=response)


def test_what_has_an_address_is_fetched_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def get(address: str, **_: object) -> Answer:
        asked.append(address)
        return Answer(b"[]", 200)

    monkeypatch.setattr(raw_experts.requests, "get", get)
    file = tmp_path / "det" / "ChestX_Det_test.json"
    chosen = choose(chestx_det={"outlines": [pin(file, b"[]")]})
    for _ in range(2):
        bring_experts(chosen)
    assert len(asked) == 1
    assert asked[0].endswith("/ChestX_Det_test.json")
    assert file.read_bytes() == b"[]"
    file.unlink()
    with pytest.raises(InputError, match="found content of sha256"):
        bring_experts(choose(chestx_det={"outlines": [pin(file, b"[ ]")]}))
    assert not file.exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [(Answer(b"", 503), "the server answered 503"), (None, "the connection failed")],
)
def test_a_server_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer | None, message: str
) -> None:
    def get(address: str, **_: object) -> Answer:
        if answer is None:
            raise requests.ConnectionError("http://secret")
        return answer

    monkeypatch.setattr(raw_experts.requests, "get", get)
    file = tmp_path / "ChestX_Det_test.json"
    with pytest.raises(InputError, match=message) as caught:
        bring_experts(choose(chestx_det={"outlines": [pin(file, b"[]")]}))
    assert "secret" not in str(caught.value)
    assert not file.exists()
