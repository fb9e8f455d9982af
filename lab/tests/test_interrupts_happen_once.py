"""Ctrl-C ends a run once, after what is just being stopped; a second one only gets an answer."""

import io
import os
import signal
import sys

import pytest

from lab.measure.interrupts import SIGNALS, interrupts


def press(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


class Gone(io.StringIO):
    """The output of a terminal that was closed, or a print that breaks into another one."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _: str) -> int:
        raise self._error


@pytest.mark.parametrize("number", SIGNALS)
def test_it_ends_what_runs(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.heeded():
        press(number)
        pytest.fail("it went on")


def test_what_is_being_stopped_is_stopped_first(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = []
    with pytest.raises(KeyboardInterrupt), interrupts.heeded():
        with interrupts.held():
            press()
            stopped.append("one")
            with interrupts.held():
                press()
            stopped.append("two")
        pytest.fail("it went on")
    assert stopped == ["one", "two"]
    assert capsys.readouterr().out.count("stopping the servers") == 2


def test_pressed_again_while_it_cleans_up_it_says_so_and_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cleaned = False
    with pytest.raises(KeyboardInterrupt), interrupts.heeded():
        try:
            press()
        finally:
            press()
            cleaned = True
    assert cleaned
    assert capsys.readouterr().out.count("stopping the servers") == 1


@pytest.mark.parametrize("error", [OSError(5, "gone"), RuntimeError("reentrant call")])
def test_an_output_that_fails_does_not_stop_the_stopping(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    cleaned = False
    with pytest.raises(KeyboardInterrupt), interrupts.heeded():
        try:
            press()
        finally:
            monkeypatch.setattr(sys, "stdout", Gone(error))
            press(signal.SIGHUP)
            cleaned = True
    assert cleaned


def test_another_run_can_be_interrupted_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interrupts.heeded():
            press()
    assert signal.getsignal(signal.SIGTERM) == before
