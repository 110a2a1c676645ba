"""Files: secrets, projects, homes; places to write."""
# ruff: noqa

from tests.sandbox.escape.common import *


@escape()
def try_shadow(t, p):
    return read("/etc/shadow")


@escape(control=True)
def try_passwd(t, p):
    return read("/etc/passwd")


@escape(control=True)
def try_secret(t, p):
    return read(p["secret"])


@escape(control=True)
def try_project(t, p):
    return read(p["project"] + "/pyproject.toml")


@escape(control=True)
def try_home(t, p):
    return os.listdir(p["home"])


@escape(control=True)
def try_ssh(t, p):
    return read(p["home"] + "/.ssh/id_ed25519")


@escape()
def try_walk(t, p):
    import sys

    # Python's own folders are large and hold nobody's secrets.
    passed = ("/proc", "/sys", "/usr", sys.prefix, sys.base_prefix)
    for folder, below, names in os.walk("/"):
        below[:] = [b for b in below if os.path.join(folder, b) not in passed]
        if "canary" in names:
            return read(folder + "/canary")


@escape(control=True)
def try_symlink(t, p):
    os.symlink(p["secret"], "/tmp/l" + p["mark"])
    return read("/tmp/l" + p["mark"])


@escape(control=True)
def try_hardlink(t, p):
    os.link(p["secret"], p["outside"] + "/hard")
    return True


@escape(control=True)
def try_dots(t, p):
    return read("/proc/self/cwd/../../../../../.." + p["secret"])


@escape(control=True)
def try_root(t, p):
    return tries(*[lambda n=n: read(f"/proc/{n}/root" + p["secret"]) for n in ("self", 1, 2, os.getppid())])


@escape()
def try_cwd(t, p):
    return tries(*[lambda n=n: read(f"/proc/{n}/cwd/.." + p["secret"]) for n in (1, 2)])


@escape()
def try_fds(t, p):
    return [n for n in range(3, 512) if tries(lambda n=n: stat.S_ISDIR(os.fstat(n).st_mode))]


@escape()
def try_fd_paths(t, p):
    return [
        k
        for n in range(3, 512)
        if (k := tries(lambda n=n: os.readlink(f"/proc/self/fd/{n}")))
        and k.startswith("/")
        and not k.startswith(("/dev/", "/memfd:", "/proc/", "/usr/", "/tmp/"))
    ]


@escape(control=True)
def try_write_outside(t, p):
    return writes(p["outside"] + "/written")


@escape()
def try_write_root(t, p):
    return tries(
        *[lambda d=d: makes(d) for d in ("/", "/etc", "/dev", "/proc", "/tidemill", "/usr", "/root")]
    )


@escape()
def try_write_package(t, p):
    import tidemill

    return tries(*[lambda d=d: makes(d) for d in tidemill.__path__])


@escape()
def try_write_venv(t, p):
    return tries(*[lambda d=d: makes(d) for d in sys.path if d.endswith("-packages")])


@escape()
def try_write_python(t, p):
    return tries(
        lambda: opens(os.path.realpath(sys.executable)),
        lambda: opens(os.__file__),
        lambda: opens("/tidemill/tidemill/__init__.py"),
    )


@escape()
def try_write_lib(t, p):
    return tries(lambda: makes("/usr/lib"), lambda: makes("/lib"))


@escape()
def try_preload(t, p):
    return tries(lambda: opens("/etc/ld.so.preload"), lambda: opens("/etc/ld.so.cache"))


@escape()
def try_cgroup(t, p):
    return tries(lambda: os.listdir("/sys/fs/cgroup"), lambda: opens("/sys/fs/cgroup/pids/cgroup.procs"))


@escape()
def try_resolver(t, p):
    return tries(
        lambda: read("/etc/resolv.conf"),
        lambda: read("/etc/hosts"),
        lambda: os.listdir("/run"),
        lambda: os.listdir("/var"),
    )
