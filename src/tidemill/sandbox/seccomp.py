"""The filter of system calls, as the kernel takes it: classic BPF, built here byte by byte.

Beside the namespaces it takes away what a kernel has had its holes in and no research needs: mounts, other
user namespaces, tracing, keys, BPF, io_uring, modules, clocks, every family of sockets but unix ones (some,
such as AF_VSOCK, know no network namespace). Source: linux/seccomp.h, linux/filter.h, asm/unistd.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping

# struct seccomp_data: int nr, __u32 arch, __u64 instruction_pointer, __u64 args[6]; little-endian on both.
_NR, _ARCH, _ARGS = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _JUMP, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x05, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

# Calls of one number on every machine since Linux 5.1. What comes after the last is answered as an older
# kernel would: unknown. mseal (462) is the last that does nothing but guard.
_SHARED = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447, "set_mempolicy_home_node": 450,
    "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
}  # fmt: skip
_CLONE3, _LAST = 435, 462
DENIED: Mapping[str, Mapping[str, int]] = {
    "x86_64": _SHARED | {
        "ptrace": 101, "syslog": 103, "uselib": 134, "personality": 135, "ustat": 136, "sysfs": 139,
        "vhangup": 153, "modify_ldt": 154, "pivot_root": 155, "_sysctl": 156, "adjtimex": 159, "chroot": 161,
        "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
        "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
        "create_module": 174, "init_module": 175, "delete_module": 176, "query_module": 178, "quotactl": 179,
        "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237, "set_mempolicy": 238,
        "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256,
        "unshare": 272, "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "fanotify_mark": 301,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
        "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": _SHARED | {
        "lookup_dcookie": 18, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42, "chroot": 51,
        "vhangup": 58, "quotactl": 60, "acct": 89, "personality": 92, "unshare": 97, "kexec_load": 104,
        "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117,
        "reboot": 142, "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "adjtimex": 171,
        "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224, "swapoff": 225, "mbind": 235,
        "set_mempolicy": 237, "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241,
        "fanotify_init": 262, "fanotify_mark": 263, "name_to_handle_at": 264, "open_by_handle_at": 265,
        "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    },
}  # fmt: skip
"""Calls that are refused with EPERM, by machine and name."""

_WITH_ARGUMENT = {
    "x86_64": {"ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56},
    "aarch64": {"ioctl": 29, "socket": 198, "socketpair": 199, "clone": 220},
}
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME is of clone3 and unshare alone.
NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
AF_UNIX = 1


def program(machine: str) -> bytes:
    """The filter for a machine (`platform.machine()`); raises `KeyError` for one that we have none for."""
    calls = _WITH_ARGUMENT[machine]
    lines: list[bytes] = [
        _line(_LOAD, _ARCH),
        _line(_JUMP_EQUAL, AUDIT[machine], 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NR),
        # The second table of calls that a 64-bit x86 has (x32) has other numbers.
        _line(_JUMP_ABOVE, _X32_BIT - 1, 0, 1),
        _line(_RETURN, _KILL),
        _line(_JUMP_ABOVE, _LAST, 0, 1),
        _refuse(errno.ENOSYS),
        # Its flags lie in memory, where no filter looks; libc falls back to clone.
        _line(_JUMP_EQUAL, _CLONE3, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    for number in sorted(set(DENIED[machine].values())):
        lines += [_line(_JUMP_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    lines += [
        _line(_JUMP_EQUAL, calls["clone"], 0, 4),
        _line(_LOAD, _ARGS),
        _line(_JUMP_ANY_BIT, NEW_NAMESPACES, 0, 1),
        _refuse(errno.EPERM),
        _line(_RETURN, _ALLOW),
        _line(_JUMP_EQUAL, calls["ioctl"], 0, 5),
        _line(_LOAD, _ARGS + 8),
        _line(_JUMP_EQUAL, TIOCSTI, 1, 0),
        _line(_JUMP_EQUAL, TIOCLINUX, 0, 1),
        _refuse(errno.EPERM),
        _line(_RETURN, _ALLOW),
        _line(_JUMP_EQUAL, calls["socket"], 1, 0),
        _line(_JUMP_EQUAL, calls["socketpair"], 0, 3),
        _line(_LOAD, _ARGS),
        _line(_JUMP_EQUAL, AF_UNIX, 1, 0),
        _refuse(errno.EACCES),
        _line(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _line(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One `struct sock_filter`: code, how many lines to skip where it holds and where it does not, value."""
    return struct.pack("<HBBI", code, then, otherwise, value)


def _refuse(number: int) -> bytes:
    return _line(_RETURN, _ERRNO | number)
