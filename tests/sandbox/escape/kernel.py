"""System calls and devices. What would harm is opened at most, never written."""
# ruff: noqa

from tests.sandbox.escape.common import *

NEW_USER = 0x10000000


@escape(control=True)
def try_unshare_user(t, p):
    pid = os.fork()
    if pid == 0:
        os._exit(not call(N["unshare"], NEW_USER))
    return os.waitpid(pid, 0)[1] == 0


@escape()
def try_unshare_mount(t, p):
    return call(N["unshare"], 0x20000)


@escape(control=True)
def try_clone_user(t, p):
    n = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    ctypes.set_errno(0)
    pid = libc.syscall(n, NEW_USER | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid > 0


@escape(control=True)
def try_clone3(t, p):
    a = (ctypes.c_uint64 * 11)(NEW_USER, 0, 0, 0, 17)
    pid = libc.syscall(435, a, 88)
    if pid == 0:
        os._exit(0)
    return pid > 0


@escape()
def try_setns(t, p):
    return tries(
        *[
            lambda k=k: call(N["setns"], os.open(f"/proc/1/ns/{k}", os.O_RDONLY), 0)
            for k in ("mnt", "user", "net", "pid")
        ]
    )


@escape()
def try_mount(t, p):
    return libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 or call(N["mount"], 0, 0, 0, 0, 0)


@escape()
def try_remount(t, p):
    return libc.mount(None, b"/", None, 32, None) == 0


@escape()
def try_umount(t, p):
    return libc.umount2(b"/usr/lib", 2) == 0 or call(N["umount2"], b"/tmp", 2)


@escape(control=True)
def try_fsopen(t, p):
    return call(N["fsopen"], b"tmpfs", 0)


@escape(control=True)
def try_open_tree(t, p):
    return call(N["open_tree"], -100, b"/", 1)


@escape()
def try_pivot_root(t, p):
    return call(N["pivot_root"], b"/tmp", b"/tmp")


@escape()
def try_chroot(t, p):
    os.mkdir("/tmp/c" + p["mark"])
    os.chroot("/tmp/c" + p["mark"])
    return True


@escape()
def try_ptrace_init(t, p):
    return call(N["ptrace"], 16, 1, 0, 0)


@escape()
def try_ptrace_child(t, p):
    return call(N["ptrace"], 0x4206, os.getppid(), 0, 0)


@escape(control=True)
def try_vm_read(t, p):
    b = ctypes.create_string_buffer(8)
    v = (ctypes.c_uint64 * 2)(ctypes.addressof(b), 8)
    return call(N["process_vm_readv"], os.getpid(), ctypes.addressof(v), 1, ctypes.addressof(v), 1, 0)


@escape(control=True)
def try_pidfd_getfd(t, p):
    f = os.pidfd_open(os.getpid())
    return call(N["pidfd_getfd"], f, 1, 0)


@escape(control=True)
def try_bpf(t, p):
    a = ctypes.create_string_buffer(struct.pack("<IIII", 2, 4, 4, 1) + bytes(100))
    return call(N["bpf"], 0, ctypes.addressof(a), 64)


@escape(control=True)
def try_keyctl(t, p):
    return call(N["keyctl"], 0, -3, 0)


@escape(control=True)
def try_add_key(t, p):
    return call(N["add_key"], b"user", b"x", b"y", 1, -3)


@escape()
def try_request_key(t, p):
    return call(N["request_key"], b"user", b"nothing", 0, 0)


@escape(control=True)
def try_io_uring(t, p):
    b = ctypes.create_string_buffer(120)
    return call(N["io_uring_setup"], 1, b)


@escape(control=True)
def try_userfaultfd(t, p):
    return call(N["userfaultfd"], 0)


@escape(control=True)
def try_perf(t, p):
    b = ctypes.create_string_buffer(struct.pack("<IIQ", 1, 112, 0) + bytes(96))
    return call(N["perf_event_open"], b, 0, -1, -1, 0)


@escape()
def try_module(t, p):
    return call(N["init_module"], 0, 0, b"") or call(N["finit_module"], -1, b"", 0)


@escape()
def try_kexec(t, p):
    return call(N["kexec_load"], 0, 0, 0, -1)


@escape()
def try_reboot(t, p):
    return call(N["reboot"], 1, 2, 3, 0)


@escape()
def try_handle(t, p):
    return call(N["open_by_handle_at"], -1, 0, 0)


@escape()
def try_personality(t, p):
    return call(N["personality"], 0x0400000)


@escape()
def try_swap(t, p):
    return call(N["swapon"], b"/tmp/x", 0)


@escape()
def try_clock(t, p):
    return call(N["clock_settime"], 99, 0)


@escape()
def try_hostname(t, p):
    socket.sethostname("x")
    return True


@escape(control=True)
def try_syslog(t, p):
    return call(N["syslog"], 10, 0, 0)


@escape("sandbox_died")
def try_x32(t, p):
    libc.syscall(ctypes.c_long(0x40000000 | 39))
    return True


@escape("sandbox_died")
def try_i386(t, p):
    import mmap

    m = mmap.mmap(-1, 4096, prot=7)
    m.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()


@escape()
def try_new_calls(t, p):
    return [n for n in range(463, 475) if call(n, 0, 0, 0, 0, 0)]


@escape(control=True)
def try_sysctl(t, p):
    return tries(
        *[
            lambda k=k: opens("/proc/sys/" + k)
            for k in (
                "kernel/core_pattern",
                "kernel/modprobe",
                "kernel/hostname",
                "vm/overcommit_memory",
                "net/ipv4/ip_forward",
                "user/max_user_namespaces",
            )
        ]
    )


@escape()
def try_sysrq(t, p):
    return tries(lambda: opens("/proc/sysrq-trigger"), lambda: opens("/proc/irq/default_smp_affinity"))


@escape()
def try_dev_mem(t, p):
    return tries(lambda: read("/dev/mem"), lambda: read("/dev/port"), lambda: read("/proc/kcore"))


@escape()
def try_kmsg(t, p):
    return tries(lambda: os.open("/dev/kmsg", os.O_RDONLY), lambda: read("/proc/kmsg"))


@escape()
def try_mknod(t, p):
    os.mknod("/tmp/d", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
    return read("/tmp/d")


@escape()
def try_disks(t, p):
    return [
        d
        for d in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop-control", "/dev/fuse", "/dev/kvm")
        if os.path.exists(d)
    ]


@escape()
def try_terminal(t, p):
    import fcntl

    return tries(lambda: os.open("/dev/tty", os.O_RDWR), lambda: os.openpty())


@escape(control=True)
def try_tiocsti(t, p):
    import fcntl

    ctypes.set_errno(0)
    libc.ioctl(1, 0x5412, b"x")
    return ctypes.get_errno() != errno.EPERM
