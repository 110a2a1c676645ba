"""Other processes, privileges, an end that nobody expects, and what stays behind it."""
# ruff: noqa

from tests.sandbox.escape.common import *


@escape()
def try_env(t, p):
    return [k for k, v in os.environ.items() if p["mark"] in v]


@escape(control=True)
def try_environs(t, p):
    return tries(
        *[lambda n=n: p["mark"] in read(f"/proc/{n}/environ") for n in os.listdir("/proc") if n.isdigit()]
    )


@escape(control=True)
def try_commands(t, p):
    return tries(
        *[lambda n=n: p["mark"] in read(f"/proc/{n}/cmdline") for n in os.listdir("/proc") if n.isdigit()]
    )


@escape()
def try_init_memory(t, p):
    return opens("/proc/1/mem", os.O_RDWR)


@escape(control=True)
def try_others_in_here(t, p):
    return [n for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]


@escape(control=True)
def try_see_victim(t, p):
    os.kill(p["victim"], 0)
    return True


@escape(control=True)
def try_kill_victim(t, p):
    os.kill(p["victim"], 9)
    return True


@escape()
def try_kill_runner(t, p):
    os.kill(p["runner"], 9)
    return True


@escape()
def try_kill_all(t, p):
    os.kill(-1, 9)
    return False


@escape()
def try_kill_parent(t, p):
    return os.getppid() and (os.kill(os.getppid(), 9) or "killed")


@escape("sandbox_died", "")
def try_kill_self(t, p):
    os.kill(os.getpid(), 9)


@escape("sandbox_died")
def try_abort(t, p):
    os.abort()


@escape("sandbox_died")
def try_segfault(t, p):
    ctypes.string_at(0)


@escape("sandbox_died")
def try_exit(t, p):
    os._exit(0)


@escape()
def try_stay(t, p):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(512):
                tries(lambda fd=fd: os.close(fd))
            time.sleep(5)
            os._exit(0)
        os._exit(0)
    time.sleep(0.1)
    return False


@escape()
def try_stay_and_hold(t, p):
    if os.fork() == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    return False


@escape(control=True)
def try_capabilities(t, p):
    s = read("/proc/self/status")
    return [k for k in ("CapPrm", "CapEff", "CapAmb") if int(s.split(k + ":")[1].split()[0], 16)] + [
        k for k in ("NoNewPrivs:\t0", "Seccomp:\t0") if k in s
    ]


@escape()
def try_init_capabilities(t, p):
    s = read("/proc/1/status")
    return [k for k in ("CapPrm", "CapEff") if int(s.split(k + ":")[1].split()[0], 16)]


@escape()
def try_setuid(t, p):
    os.setuid(0)
    return os.geteuid() == 0


@escape()
def try_setuid_file(t, p):
    f = writes("/tmp/s")
    os.chmod(f, 0o4755)
    return not os.statvfs("/tmp").f_flag & os.ST_NOSUID


@escape(control=True)
def try_setuid_programs(t, p):
    return [
        f
        for f in ("/bin/su", "/usr/bin/su", "/usr/bin/sudo", "/bin/mount", "/usr/bin/bwrap")
        if os.path.exists(f)
    ]


@escape()
def try_nice(t, p):
    os.nice(-5)
    return True


@escape(control=True)
def try_oom_score(t, p):
    return opens("/proc/self/oom_score_adj")


@escape()
def try_rlimits(t, p):
    import resource

    for k in (resource.RLIMIT_DATA, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        if tries(lambda k=k: resource.setrlimit(k, (resource.RLIM_INFINITY,) * 2) or 1):
            return k
