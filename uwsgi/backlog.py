"""Reads the listen queue of a unix socket, which uWSGI's statistics do not include.

The kernel tells it by netlink, as `ss -xl` does. https://man7.org/linux/man-pages/man7/sock_diag.7.html
"""

from __future__ import annotations

import os
import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, NLMSG_ERROR, NLM_F_REQUEST = 20, 2, 1
UDIAG_SHOW_RQLEN = 0x10
UNIX_DIAG_RQLEN = 4
_ANY_COOKIE = 0xFFFFFFFF

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBHIIIII")  # unix_diag_req: family … states, inode, show, cookie
_ANSWER = struct.Struct("=BBBBIII")  # unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # length, type


def backlog(inode: int) -> tuple[int, int]:
    """Return how many connections wait at a listening unix socket, and how many fit.

    *inode* is the socket's (``os.fstat(socket).st_ino``), not that of its file. Raises OSError if
    there is no such socket here or the kernel does not tell.
    """
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0, inode, UDIAG_SHOW_RQLEN, *2 * [_ANY_COOKIE])
    size = _HEADER.size + _REQUEST.size
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(_HEADER.pack(size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + request)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] == NLMSG_ERROR:
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        raise OSError(code, f"unix socket {inode}: {os.strerror(code)}")
    place = _HEADER.size + _ANSWER.size
    while place < len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, place)
        if kind == UNIX_DIAG_RQLEN:
            waiting, fit = struct.unpack_from("=II", answer, place + _ATTRIBUTE.size)
            return waiting, fit
        place += (length + 3) & ~3
    raise OSError(f"unix socket {inode}: the kernel does not tell its queue")
