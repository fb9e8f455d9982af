"""Ctrl-C interrupts a run once, after a stop in progress; a second one prints a message."""

import io
import os
import signal
import sys

import pytest

from lab.measure.interrupts import SIGNALS, interrupts


def press(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


class Gone(io.StringIO):
    """The output of a closed terminal, or a print that interrupts another one."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _: str) -> int:
        raise self._error


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_the_run(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        press(number)
        pytest.fail("it went on")


def test_a_stop_in_progress_is_completed_first(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = []
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        with interrupts.held():
            press()
            stopped.append("one")
            with interrupts.held():
                press()
            stopped.append("two")
        pytest.fail("it went on")
    assert stopped == ["one", "two"]
    assert capsys.readouterr().out.count("stopping the servers") == 2


def test_a_second_signal_only_prints_a_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cleaned = False
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        try:
            press()
        finally:
            press()
            cleaned = True
    assert cleaned
    assert capsys.readouterr().out.count("stopping the servers") == 1


@pytest.mark.parametrize("error", [OSError(5, "gone"), RuntimeError("reentrant call")])
def test_a_failing_output_does_not_interrupt_the_clean_up(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    cleaned = False
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        try:
            press()
        finally:
            monkeypatch.setattr(sys, "stdout", Gone(error))
            press(signal.SIGHUP)
            cleaned = True
    assert cleaned


def test_the_next_run_can_be_interrupted_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interrupts.handled():
            press()
    assert signal.getsignal(signal.SIGTERM) == before
