import logging
import re
import sys

import pytest

from chestxray14.base import progress


class Clock:
    """Let two seconds pass at each look."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


def test_long_work_prints_a_few_plain_lines_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.time, "monotonic", Clock())
    assert list(progress.track(range(1000), what="read", unit="images", total=1000)) == [
        *range(1000)
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "read: 250 of 1,000 images (0.5 a second, 1,500 s left)",
        "read: 500 of 1,000 images (0.5 a second, 1,000 s left)",
        "read: 750 of 1,000 images (0.5 a second, 500 s left)",
        "read: 1,000 of 1,000 images (0.5 a second, 0 s left)",
    ]


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track("abc", what="read", unit="letters", total=3)) == list("abc")
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_second_bar_for_the_whole_and_logged_lines_stand_above(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log = logging.getLogger("test")
    handler = logging.StreamHandler(sys.stdout)
    monkeypatch.setattr(logging.root, "handlers", [handler])
    log.setLevel("INFO")
    with progress.follow(what="train", unit="epochs", total=3, start=1) as advance:
        for epoch in (2, 3):
            list(progress.track("ab", what=f"epoch {epoch}", unit="batches", total=2))
            log.info("epoch %d: loss 0.1", epoch)
            advance()
    shown = capsys.readouterr()
    assert shown.out == "epoch 2: loss 0.1\nepoch 3: loss 0.1\n"
    bars = [line.strip() for line in re.split(r"[\r\n]", shown.err)]
    for done in ("33%", "100%"):
        assert any(line.startswith("train:") and done in line for line in bars)
    assert any("epoch 3:" in line for line in bars)
    assert logging.root.handlers == [handler]


def test_the_whole_is_shown_on_terminals_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.follow(what="train", unit="epochs", total=3) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress.track("abc", what="read", unit="letters", total=3)) == list("abc")
    assert "read: 100%" in capsys.readouterr().err
