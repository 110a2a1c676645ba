"""More processes, memory, room, output and time than it may have. Each is bounded."""
# ruff: noqa

from tests.sandbox.escape.common import *


@escape(control=True)
def try_fork_bomb(t, p):
    made = []
    try:
        for _ in range(200):
            pid = os.fork()
            if pid == 0:
                time.sleep(2)
                os._exit(0)
            made.append(pid)
    except OSError:
        pass
    for pid in made:
        os.kill(pid, 9)
    return len(made) if len(made) > 64 else 0


@escape(control=True)
def try_threads(t, p):
    import threading

    stop = threading.Event()
    made = 0
    try:
        for _ in range(150):
            threading.Thread(target=stop.wait, daemon=True).start()
            made += 1
    except RuntimeError:
        pass
    stop.set()
    return made if made > 64 else 0


@escape("sandbox_memory", control=True)
def try_memory(t, p):
    b = bytearray(600 << 20)
    return len(b)


@escape("sandbox_memory", "", control=True)
def try_memory_apart(t, p):
    r, w = os.pipe()
    for _ in range(6):
        if os.fork() == 0:
            b = bytearray(64 << 20)
            for i in range(0, len(b), 4096):
                b[i] = 1
            os.write(w, b"x")
            time.sleep(2)
            os._exit(0)
    end, got = time.monotonic() + p["wait_s"], b""
    os.set_blocking(r, False)
    while time.monotonic() < end and len(got) < 6:
        got += tries(lambda: os.read(r, 6)) or b""
        time.sleep(0.01)
    return len(got) == 6


@escape()
def try_disk(t, p):
    n = 0
    with open("/tmp/fill", "wb", 0) as f:
        while n < 64 << 20:
            n += f.write(bytes(1 << 20))
    return n


@escape()
def try_shm(t, p):
    n = 0
    with open("/dev/shm/fill", "wb", 0) as f:
        while n < 64 << 20:
            n += f.write(bytes(1 << 20))
    return n


@escape("sandbox_output")
def try_print(t, p):
    for _ in range(200):
        print("x" * (1 << 20))
    return True


@escape("sandbox_output")
def try_print_below(t, p):
    for _ in range(200):
        os.write(2, b"y" * (1 << 20))
    return True


@escape("sandbox_timeout")
def try_loop(t, p):
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


@escape("sandbox_timeout")
def try_sleep(t, p):
    for s in range(1, 65):
        tries(lambda s=s: signal.signal(s, signal.SIG_IGN))
    while True:
        time.sleep(60)


@escape("sandbox_timeout")
def try_hang_in_c(t, p):
    import re

    return re.match(r"(a+)+$", "a" * 40 + "b")
