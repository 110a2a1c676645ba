"""The filter, run as the kernel runs it: instruction by instruction, for both machines."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from tidemill.sandbox import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000


def verdict(machine: str, number: int, *args: int, arch: int | None = None) -> int:
    """What the filter says of a call."""
    data = struct.pack(
        "<IIQ6Q", number, seccomp.AUDIT[machine] if arch is None else arch, 0, *(*args, *[0] * 6)[:6]
    )
    program = seccomp.program(machine)
    lines = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at, value = 0, 0
    for _ in range(len(lines)):
        code, then, otherwise, operand = lines[at]
        at += 1
        match code:
            case 0x20:
                value = struct.unpack_from("<I", data, operand)[0]
            case 0x15:
                at += then if value == operand else otherwise
            case 0x25:
                at += then if value > operand else otherwise
            case 0x45:
                at += then if value & operand else otherwise
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"unknown code {code:#x}")
    raise AssertionError("no verdict")


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("machine", sorted(seccomp.AUDIT))
def test_each_denied_call_is_refused_and_others_are_not(machine: str) -> None:
    denied = set(seccomp.DENIED[machine].values())
    special = {"x86_64": {16, 41, 53, 56}, "aarch64": {29, 198, 199, 220}}[machine]
    for number in range(463):
        if number == 435:
            assert verdict(machine, number) == refused(errno.ENOSYS)
        elif number in denied:
            assert verdict(machine, number) == refused(errno.EPERM), number
        elif number not in special:
            assert verdict(machine, number) == ALLOW, number
    assert verdict(machine, 463) == verdict(machine, 9999) == refused(errno.ENOSYS)


@pytest.mark.parametrize(
    ("machine", "clone", "ioctl", "socket"), [("x86_64", 56, 16, 41), ("aarch64", 220, 29, 198)]
)
def test_arguments_decide(machine: str, clone: int, ioctl: int, socket: int) -> None:
    threads = 0x003D0F00
    assert verdict(machine, clone, threads) == ALLOW
    assert verdict(machine, clone, 17) == ALLOW
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert verdict(machine, clone, 1 << bit | 17) == refused(errno.EPERM)
    assert verdict(machine, ioctl, 1, 0x5401) == ALLOW
    assert verdict(machine, ioctl, 1, 0x5412) == verdict(machine, ioctl, 1, 0x541C) == refused(errno.EPERM)
    # The kernel looks at the low half alone, and so does the filter.
    assert verdict(machine, ioctl, 1, 0x1_0000_5412) == refused(errno.EPERM)
    assert verdict(machine, socket, 1) == ALLOW
    for family in (0, 2, 10, 16, 17, 38, 40):
        assert verdict(machine, socket, family) == refused(errno.EACCES)


def test_another_machines_calls_end_the_process() -> None:
    assert verdict("x86_64", 1, arch=0x40000003) == KILL
    assert verdict("x86_64", 0x40000000 | 39) == KILL
    assert verdict("aarch64", 1, arch=seccomp.AUDIT["x86_64"]) == KILL
    with pytest.raises(KeyError):
        seccomp.program("riscv64")


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"no kernel headers here: {header}")
    known = {
        name: int(number)
        for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", Path(header).read_text())
    }
    wrong = {
        name: (number, known[name])
        for name, number in seccomp.DENIED[machine].items()
        if name in known and known[name] != number
    }
    assert wrong == {}
    assert len(set(known) & set(seccomp.DENIED[machine])) > 50
