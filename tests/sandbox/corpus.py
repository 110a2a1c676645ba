"""Programs that try to get out, each one thing. `main(t, p)` returns what it got hold of: anything true is an
escape, and what can be judged from outside is (test_escape.py).

CONTROL are those that harm nothing where nobody holds them: run without a sandbox they must succeed.
"""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
import ctypes, errno, os, platform, signal, socket, stat, struct, sys, time
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
    with open(path, 'rb') as file:
        return file.read(1 << 16).decode(errors='replace')
def writes(path, text='x'):
    with open(path, 'w') as file:
        file.write(text)
    return path
def makes(folder):
    "A file in this folder, taken away again: what is not held must not be harmed."
    path = folder + '/tidemill-escape'
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
out = int(sys.argv[1])
def reaches(kind, address, data=b'here'):
    with socket.socket(kind[0], kind[1]) as line:
        line.settimeout(1)
        line.connect(address)
        try:
            line.send(data)
        except BrokenPipeError:
            pass
    return True
"""


@dataclass(frozen=True)
class Program:
    name: str
    body: str
    codes: tuple[str, ...] = ()
    """The error that must come; none: an answer of nothing, or an exception of the code."""
    control: bool = False
    """Harmless without a sandbox, and must succeed there."""

    @property
    def function(self) -> str:
        lines = "\n".join("    " + line for line in self.body.strip("\n").splitlines())
        return f"def try_{self.name}(t, p):\n{lines}\n"


def _one(name: str, body: str, *codes: str, control: bool = False) -> Program:
    return Program(name, body, codes, control)


_FILES = [
    _one("shadow", "return read('/etc/shadow')"),
    _one("passwd", "return read('/etc/passwd')", control=True),
    _one("secret", "return read(p['secret'])", control=True),
    _one("project", "return read(p['project'] + '/pyproject.toml')", control=True),
    _one("home", "return os.listdir(p['home'])", control=True),
    _one("ssh", "return read(p['home'] + '/.ssh/id_ed25519')", control=True),
    _one(
        "walk",
        """
for folder, below, names in os.walk('/'):
    below[:] = [b for b in below if os.path.join(folder, b) not in ('/proc', '/sys', '/usr', '/root/.pyenv')]
    if 'canary' in names:
        return read(folder + '/canary')
""",
    ),
    _one("symlink", "os.symlink(p['secret'], '/tmp/l' + p['mark']); return read('/tmp/l' + p['mark'])", control=True),
    _one("hardlink", "os.link(p['secret'], p['outside'] + '/hard'); return True", control=True),
    _one("dots", "return read('/proc/self/cwd/../../../../../..' + p['secret'])", control=True),
    _one("root", "return tries(*[lambda n=n: read(f'/proc/{n}/root' + p['secret']) for n in ('self', 1, 2, os.getppid())])", control=True),
    _one("cwd", "return tries(*[lambda n=n: read(f'/proc/{n}/cwd/..' + p['secret']) for n in (1, 2)])"),
    _one("fds", "return [n for n in range(3, 512) if tries(lambda n=n: stat.S_ISDIR(os.fstat(n).st_mode))]"),
    _one("fd_paths", "return [k for n in range(3, 512) if (k := tries(lambda n=n: os.readlink(f'/proc/self/fd/{n}'))) and k.startswith('/') and not k.startswith(('/dev/', '/memfd:', '/proc/', '/usr/', '/tmp/'))]"),
    _one("write_outside", "return writes(p['outside'] + '/written')", control=True),
    _one("write_root", "return tries(*[lambda d=d: makes(d) for d in ('/', '/etc', '/dev', '/proc', '/tidemill', '/usr', '/root')])"),
    _one("write_package", "import tidemill; return tries(*[lambda d=d: makes(d) for d in tidemill.__path__])"),
    _one("write_venv", "return tries(*[lambda d=d: makes(d) for d in sys.path if d.endswith('-packages')])"),
    _one("write_python", "return tries(lambda: opens(os.path.realpath(sys.executable)), lambda: opens(os.__file__), lambda: opens('/tidemill/tidemill/__init__.py'))"),
    _one("write_lib", "return tries(lambda: makes('/usr/lib'), lambda: makes('/lib'))"),
    _one("preload", "return tries(lambda: opens('/etc/ld.so.preload'), lambda: opens('/etc/ld.so.cache'))"),
    _one("cgroup", "return tries(lambda: os.listdir('/sys/fs/cgroup'), lambda: opens('/sys/fs/cgroup/pids/cgroup.procs'))"),
    _one("resolver", "return tries(lambda: read('/etc/resolv.conf'), lambda: read('/etc/hosts'), lambda: os.listdir('/run'), lambda: os.listdir('/var'))"),
]  # fmt: skip
_PROCESSES = [
    _one("env", "return [k for k, v in os.environ.items() if p['mark'] in v]"),
    _one("environs", "return tries(*[lambda n=n: p['mark'] in read(f'/proc/{n}/environ') for n in os.listdir('/proc') if n.isdigit()])", control=True),
    _one("commands", "return tries(*[lambda n=n: p['mark'] in read(f'/proc/{n}/cmdline') for n in os.listdir('/proc') if n.isdigit()])", control=True),
    _one("init_memory", "return opens('/proc/1/mem', os.O_RDWR)"),
    _one("others_in_here", "return [n for n in os.listdir('/proc') if n.isdigit() and int(n) != os.getpid()]", control=True),
    _one("see_victim", "os.kill(p['victim'], 0); return True", control=True),
    _one("kill_victim", "os.kill(p['victim'], 9); return True", control=True),
    _one("kill_runner", "os.kill(p['runner'], 9); return True"),
    _one("kill_all", "os.kill(-1, 9); return False"),
    _one("kill_parent", "return os.getppid() and (os.kill(os.getppid(), 9) or 'killed')"),
    _one("kill_self", "os.kill(os.getpid(), 9)", "sandbox_died", ""),
    _one("abort", "os.abort()", "sandbox_died"),
    _one("segfault", "ctypes.string_at(0)", "sandbox_died"),
    _one("exit", "os._exit(0)", "sandbox_died"),
    _one("stay", "\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        for fd in range(512):\n            tries(lambda fd=fd: os.close(fd))\n        time.sleep(5)\n        os._exit(0)\n    os._exit(0)\ntime.sleep(0.1)\nreturn False"),
    _one("stay_and_hold", "\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(30)\n    os._exit(0)\nreturn False"),
    _one("capabilities", "s = read('/proc/self/status'); return [k for k in ('CapPrm', 'CapEff', 'CapAmb') if int(s.split(k + ':')[1].split()[0], 16)] + [k for k in ('NoNewPrivs:\\t0', 'Seccomp:\\t0') if k in s]", control=True),
    _one("init_capabilities", "s = read('/proc/1/status'); return [k for k in ('CapPrm', 'CapEff') if int(s.split(k + ':')[1].split()[0], 16)]"),
    _one("setuid", "os.setuid(0); return os.geteuid() == 0"),
    _one("setuid_file", "f = writes('/tmp/s'); os.chmod(f, 0o4755); return not os.statvfs('/tmp').f_flag & os.ST_NOSUID"),
    _one("setuid_programs", "return [f for f in ('/bin/su', '/usr/bin/su', '/usr/bin/sudo', '/bin/mount', '/usr/bin/bwrap') if os.path.exists(f)]", control=True),
    _one("nice", "os.nice(-5); return True"),
    _one("oom_score", "return opens('/proc/self/oom_score_adj')", control=True),
    _one("rlimits", "import resource\nfor k in (resource.RLIMIT_DATA, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):\n    if tries(lambda k=k: resource.setrlimit(k, (resource.RLIM_INFINITY,) * 2) or 1):\n        return k"),
]  # fmt: skip
_NETWORK = [
    _one("tcp4", "return reaches((socket.AF_INET, socket.SOCK_STREAM), ('127.0.0.1', p['v4']))", control=True),
    _one("tcp6", "return reaches((socket.AF_INET6, socket.SOCK_STREAM), ('::1', p['v6']))", control=True),
    _one("udp", "return reaches((socket.AF_INET, socket.SOCK_DGRAM), ('127.0.0.1', p['udp']))", control=True),
    _one("unix", "return reaches((socket.AF_UNIX, socket.SOCK_STREAM), p['unix'])", control=True),
    _one("abstract", "return reaches((socket.AF_UNIX, socket.SOCK_STREAM), '\\0' + p['abstract'])", control=True),
    _one("names", "return [a[4] for a in socket.getaddrinfo('localhost', 80)] and reaches((socket.AF_INET, socket.SOCK_STREAM), ('localhost', p['v4']))", control=True),
    _one("listen", "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); return s.getsockname()", control=True),
    _one("interfaces", "return [n for _, n in socket.if_nameindex() if n != 'lo']"),
    _one("vsock", "socket.socket(40, socket.SOCK_STREAM).close(); return True"),
    _one("packet", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(); return True"),
    _one("netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(); return True", control=True),
    _one("alg", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close(); return True"),
]  # fmt: skip
_RESOURCES = [
    _one("fork_bomb", "\nmade = []\ntry:\n    for _ in range(200):\n        pid = os.fork()\n        if pid == 0:\n            time.sleep(2)\n            os._exit(0)\n        made.append(pid)\nexcept OSError:\n    pass\nfor pid in made:\n    os.kill(pid, 9)\nreturn len(made) if len(made) > 64 else 0", control=True),
    _one("threads", "\nimport threading\nstop = threading.Event()\nmade = 0\ntry:\n    for _ in range(150):\n        threading.Thread(target=stop.wait, daemon=True).start()\n        made += 1\nexcept RuntimeError:\n    pass\nstop.set()\nreturn made if made > 64 else 0", control=True),
    _one("memory", "b = bytearray(600 << 20); return len(b)", "sandbox_memory", control=True),
    _one("memory_apart", "\nr, w = os.pipe()\nfor _ in range(6):\n    if os.fork() == 0:\n        b = bytearray(64 << 20)\n        for i in range(0, len(b), 4096):\n            b[i] = 1\n        os.write(w, b'x')\n        time.sleep(2)\n        os._exit(0)\nend, got = time.monotonic() + p['wait_s'], b''\nos.set_blocking(r, False)\nwhile time.monotonic() < end and len(got) < 6:\n    got += tries(lambda: os.read(r, 6)) or b''\n    time.sleep(0.01)\nreturn len(got) == 6", "sandbox_memory", "", control=True),
    _one("disk", "\nn = 0\nwith open('/tmp/fill', 'wb', 0) as f:\n    while n < 64 << 20:\n        n += f.write(bytes(1 << 20))\nreturn n"),
    _one("shm", "\nn = 0\nwith open('/dev/shm/fill', 'wb', 0) as f:\n    while n < 64 << 20:\n        n += f.write(bytes(1 << 20))\nreturn n"),
    _one("print", "\nfor _ in range(200):\n    print('x' * (1 << 20))\nreturn True", "sandbox_output"),
    _one("print_below", "\nfor _ in range(200):\n    os.write(2, b'y' * (1 << 20))\nreturn True", "sandbox_output"),
    _one("loop", "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "sandbox_timeout"),
    _one("sleep", "\nfor s in range(1, 65):\n    tries(lambda s=s: signal.signal(s, signal.SIG_IGN))\nwhile True: time.sleep(60)", "sandbox_timeout"),
    _one("hang_in_c", "import re; return re.match(r'(a+)+$', 'a' * 40 + 'b')", "sandbox_timeout"),
]  # fmt: skip
_NS = 0x10000000
_KERNEL = [
    _one("unshare_user", f"pid = os.fork()\nif pid == 0:\n    os._exit(not call(N['unshare'], {_NS}))\nreturn os.waitpid(pid, 0)[1] == 0", control=True),
    _one("unshare_mount", "return call(N['unshare'], 0x20000)"),
    _one("clone_user", f"n = {{'x86_64': 56, 'aarch64': 220}}[platform.machine()]\nctypes.set_errno(0)\npid = libc.syscall(n, {_NS} | 17, 0, 0, 0, 0)\nif pid == 0:\n    os._exit(0)\nreturn pid > 0", control=True),
    _one("clone3", f"a = (ctypes.c_uint64 * 11)({_NS}, 0, 0, 0, 17)\npid = libc.syscall(435, a, 88)\nif pid == 0:\n    os._exit(0)\nreturn pid > 0", control=True),
    _one("setns", "return tries(*[lambda k=k: call(N['setns'], os.open(f'/proc/1/ns/{k}', os.O_RDONLY), 0) for k in ('mnt', 'user', 'net', 'pid')])"),
    _one("mount", "return libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0 or call(N['mount'], 0, 0, 0, 0, 0)"),
    _one("remount", "return libc.mount(None, b'/', None, 32, None) == 0"),
    _one("umount", "return libc.umount2(b'/usr/lib', 2) == 0 or call(N['umount2'], b'/tmp', 2)"),
    _one("fsopen", "return call(N['fsopen'], b'tmpfs', 0)", control=True),
    _one("open_tree", "return call(N['open_tree'], -100, b'/', 1)", control=True),
    _one("pivot_root", "return call(N['pivot_root'], b'/tmp', b'/tmp')"),
    _one("chroot", "os.mkdir('/tmp/c' + p['mark']); os.chroot('/tmp/c' + p['mark']); return True"),
    _one("ptrace_init", "return call(N['ptrace'], 16, 1, 0, 0)"),
    _one("ptrace_child", "return call(N['ptrace'], 0x4206, os.getppid(), 0, 0)"),
    _one("vm_read", "b = ctypes.create_string_buffer(8)\nv = (ctypes.c_uint64 * 2)(ctypes.addressof(b), 8)\nreturn call(N['process_vm_readv'], os.getpid(), ctypes.addressof(v), 1, ctypes.addressof(v), 1, 0)", control=True),
    _one("pidfd_getfd", "f = os.pidfd_open(os.getpid()); return call(N['pidfd_getfd'], f, 1, 0)", control=True),
    _one("bpf", "a = ctypes.create_string_buffer(struct.pack('<IIII', 2, 4, 4, 1) + bytes(100)); return call(N['bpf'], 0, ctypes.addressof(a), 64)", control=True),
    _one("keyctl", "return call(N['keyctl'], 0, -3, 0)", control=True),
    _one("add_key", "return call(N['add_key'], b'user', b'x', b'y', 1, -3)", control=True),
    _one("request_key", "return call(N['request_key'], b'user', b'nothing', 0, 0)"),
    _one("io_uring", "b = ctypes.create_string_buffer(120); return call(N['io_uring_setup'], 1, b)", control=True),
    _one("userfaultfd", "return call(N['userfaultfd'], 0)", control=True),
    _one("perf", "b = ctypes.create_string_buffer(struct.pack('<IIQ', 1, 112, 0) + bytes(96)); return call(N['perf_event_open'], b, 0, -1, -1, 0)", control=True),
    _one("module", "return call(N['init_module'], 0, 0, b'') or call(N['finit_module'], -1, b'', 0)"),
    _one("kexec", "return call(N['kexec_load'], 0, 0, 0, -1)"),
    _one("reboot", "return call(N['reboot'], 1, 2, 3, 0)"),
    _one("handle", "return call(N['open_by_handle_at'], -1, 0, 0)"),
    _one("personality", "return call(N['personality'], 0x0400000)"),
    _one("swap", "return call(N['swapon'], b'/tmp/x', 0)"),
    _one("clock", "return call(N['clock_settime'], 99, 0)"),
    _one("hostname", "socket.sethostname('x'); return True"),
    _one("syslog", "return call(N['syslog'], 10, 0, 0)", control=True),
    _one("x32", "libc.syscall(ctypes.c_long(0x40000000 | 39)); return True", "sandbox_died"),
    _one("i386", "import mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\nreturn ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()", "sandbox_died"),
    _one("new_calls", "return [n for n in range(463, 475) if call(n, 0, 0, 0, 0, 0)]"),
    _one("sysctl", "return tries(*[lambda k=k: opens('/proc/sys/' + k) for k in ('kernel/core_pattern', 'kernel/modprobe', 'kernel/hostname', 'vm/overcommit_memory', 'net/ipv4/ip_forward', 'user/max_user_namespaces')])", control=True),
    _one("sysrq", "return tries(lambda: opens('/proc/sysrq-trigger'), lambda: opens('/proc/irq/default_smp_affinity'))"),
    _one("dev_mem", "return tries(lambda: read('/dev/mem'), lambda: read('/dev/port'), lambda: read('/proc/kcore'))"),
    _one("kmsg", "return tries(lambda: os.open('/dev/kmsg', os.O_RDONLY), lambda: read('/proc/kmsg'))"),
    _one("mknod", "os.mknod('/tmp/d', 0o600 | stat.S_IFBLK, os.makedev(254, 0)); return read('/tmp/d')"),
    _one("disks", "return [d for d in ('/dev/vda', '/dev/sda', '/dev/nvme0n1', '/dev/loop-control', '/dev/fuse', '/dev/kvm') if os.path.exists(d)]"),
    _one("terminal", "import fcntl; return tries(lambda: os.open('/dev/tty', os.O_RDWR), lambda: os.openpty())"),
    _one("tiocsti", "import fcntl; ctypes.set_errno(0); libc.ioctl(1, 0x5412, b'x'); return ctypes.get_errno() != errno.EPERM", control=True),
]  # fmt: skip
_TABLE = "import pyarrow as pa\n"
_CHANNEL = [
    _one("pickle", "import pickle; os.write(out, pickle.dumps(os.system)); return False", "sandbox_output"),
    _one("noise", "os.write(out, os.urandom(4096)); return False", "sandbox_output"),
    _one("huge_frame", "os.write(out, frame.HEAD.pack(b'a', 0xffffffff)); return False", "sandbox_output"),
    _one("half_frame", "os.write(out, frame.HEAD.pack(b'a', 1 << 20) + b'{'); os._exit(0)", "sandbox_died"),
    _one("huge_json", "frame.write(out, b'a', b'x' * (70 << 20)); time.sleep(5)", "sandbox_output", "sandbox_memory"),
    _one("long_json", "frame.write(out, b'a', b'{\"result\":{\"a\":\"' + b'x' * (20 << 20) + b'\"}}'); time.sleep(5)", "sandbox_output"),
    _one("deep_json", "frame.write(out, b'a', b'{\"result\":' + b'{\"a\":' * 500 + b'1' + b'}' * 501); time.sleep(5)", "sandbox_output"),
    _one("deeper_json", "frame.write(out, b'a', b'[' * 2000000); time.sleep(5)", "sandbox_output"),
    _one("nan_json", "frame.write(out, b'a', b'{\"result\":{\"a\":NaN}}'); time.sleep(5)", "sandbox_output"),
    _one("list_json", "frame.write(out, b'a', b'[1]'); time.sleep(5)", "sandbox_output"),
    _one("no_result", "frame.write(out, b'a', b'{\"result\":5}'); time.sleep(5)", "sandbox_output"),
    _one("bad_utf8", "frame.write(out, b'a', b'{\"result\":{\"a\":\"\\xff\\xfe\"}}'); time.sleep(5)", "sandbox_output"),
    _one("table_first", "frame.write(out, b't', b'x'); time.sleep(5)", "sandbox_output"),
    _one("table_noise", "frame.write(out, b'a', b'{\"result\":{},\"tables\":[\"x\"]}'); frame.write(out, b't', os.urandom(999)); time.sleep(5)", "sandbox_output"),
    _one("table_names", "frame.write(out, b'a', b'{\"result\":{},\"tables\":[\"x\",\"x\"]}'); time.sleep(5)", "sandbox_output"),
    _one("table_nested", _TABLE + "return 0, {'x': pa.table({'a': pa.nulls(2, pa.list_(pa.int64()))})}", "sandbox_output"),
    _one("table_bomb", _TABLE + "s = pa.BufferOutputStream()\nb = pa.table({'a': pa.nulls(1 << 20, pa.int64())})\nwith pa.ipc.new_stream(s, b.schema, options=pa.ipc.IpcWriteOptions(compression='zstd')) as w:\n    w.write_table(b)\nframe.write(out, b'a', b'{\"result\":{},\"tables\":[\"x\"]}')\nframe.write(out, b't', s.getvalue().to_pybytes())\ntime.sleep(5)", "sandbox_output"),
    _one("table_rows", _TABLE + "return 0, {'x': pa.table({'a': pa.nulls(1 << 26)})}", "sandbox_output"),
    _one("progress_flood", "\nwhile True:\n    frame.write(out, b'p', b'{\"a\":\"' + b'x' * 60000 + b'\"}')", "sandbox_output"),
    _one("progress_huge", "frame.write(out, b'p', b'{\"a\":\"' + b'x' * 70000 + b'\"}'); time.sleep(5)", "sandbox_output"),
    _one("silence", "os.close(out); time.sleep(60)", "sandbox_died"),
    _one("false_error", "frame.write(out, b'e', b'{\"code\":\"refused\",\"error\":{\"code\":\"' + b'A' * 9999 + b'\",\"category\":\"auth\"},\"lines\":5}'); time.sleep(5)", "code_failed"),
    _one("ansi", "print('\\x1b]0;title\\x07\\x1b[2J\\x1b[31mred\\u202e'); return False"),
]  # fmt: skip

# A guest of its own for what ends it, or leaves something behind.
FRESH = {program.name for program in (*_RESOURCES, *_CHANNEL)} | {"stay", "stay_and_hold"}
PROGRAMS = [*_FILES, *_PROCESSES, *_NETWORK, *_RESOURCES, *_KERNEL, *_CHANNEL]
CONTROL = [program for program in PROGRAMS if program.control]
SOURCE = "\n".join([PRELUDE, *(program.function for program in PROGRAMS)])
