"""What the programs share. Its text and theirs is one module inside a guest (tests/sandbox/corpus.py)."""
# ruff: noqa

import ctypes
import errno
import os
import platform
import signal
import socket
import stat
import struct
import sys
import time

from tidemill.sandbox import frame, seccomp

libc = ctypes.CDLL(None, use_errno=True)
N = seccomp.DENIED.get(platform.machine(), {})


def call(number, *args):
    "Whether a system call got past the filter: it worked, or failed for another reason than being refused."
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    why = ctypes.get_errno()
    return got >= 0 or why not in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOSPC)


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 16).decode(errors="replace")


def writes(path, text="x"):
    with open(path, "w") as file:
        file.write(text)
    return path


def makes(folder):
    "A file in this folder, taken away again: what is not held must not be harmed."
    path = folder + "/tidemill-escape"
    writes(path)
    os.unlink(path)
    return path


def opens(path, how=os.O_WRONLY):
    "Open for writing is enough: nothing is ever written there."
    os.close(os.open(path, how))
    return path


def tries(*ways):
    "The first that gives something; what they raise is a refusal."
    for way in ways:
        try:
            got = way()
        except Exception:
            continue
        if got:
            return got


out = int(sys.argv[1]) if sys.argv[1:2] and sys.argv[1].isdigit() else -1


def reaches(kind, address, data=b"here"):
    with socket.socket(kind[0], kind[1]) as line:
        line.settimeout(1)
        line.connect(address)
        try:
            line.send(data)
        except BrokenPipeError:
            pass
    return True


def escape(*codes, control=False):
    "A program: which errors must come (none: an answer of nothing, or an exception), and whether it harms nothing unheld."

    def mark(function):
        function.codes, function.control = codes, control
        return function

    return mark
