"""Sleep in a greenlet with a precision of about 50 µs.

gevent's own sleep ends on epoll's whole milliseconds, which is as long as a request takes here. The
kernel's timerfd counts nanoseconds and wakes the same epoll. Python supports it from 3.13 on.
"""

from __future__ import annotations

import ctypes
import os

import gevent

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_READ = 1  # gevent's name for "readable"


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Timer:
    """A timer for one greenlet. Raises OSError on systems without timerfd (not Linux)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = int(
            self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        )
        if self._handle < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._setting = _Setting()
        self._reference = ctypes.byref(self._setting)
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._handle, _READ)

    def sleep(self, seconds: float) -> None:
        """Let other greenlets run for *seconds*."""
        nanoseconds = int(seconds * 1e9)
        if nanoseconds <= 0:  # zero would disarm the timer
            gevent.sleep(0)
            return
        value = self._setting.value
        value.seconds, value.nanoseconds = divmod(nanoseconds, 1_000_000_000)
        self._libc.timerfd_settime(self._handle, 0, self._reference, None)
        self._hub.wait(self._watcher)
        os.read(self._handle, 8)  # the number of expirations; unread, it keeps the fd readable

    def close(self) -> None:
        self._watcher.close()
        os.close(self._handle)
