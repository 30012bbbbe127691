"""``python -m tests.services.lockless PROGRAM ARGUMENT…``: a program in a world without locks.

The kernel answers its ``flock`` as a network share without a lock server does: ENOLCK, "No locks available". It is a
seccomp filter, which any user may set for himself and which stays over exec. Linux alone has it.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_FLOCK = {"x86_64": 73, "aarch64": 32}
"""The number of the system call."""

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid_locks() -> None:
    """Have the kernel refuse ``flock`` in this process, and in what it becomes."""
    instructions = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 1, _FLOCK[platform.machine()]),
            (_RETURN, 0, 0, _ERROR | errno.ENOLCK),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    program = _Program(4, instructions)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid_locks()
    os.execvp(sys.argv[1], sys.argv[1:])
