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


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress.track("abc", what="read", unit="letters", total=3)) == list("abc")
    assert "read: 100%" in capsys.readouterr().err
