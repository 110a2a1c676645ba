"""Every kind of socket."""
# ruff: noqa

from tests.sandbox.escape.common import *


@escape(control=True)
def try_tcp4(t, p):
    return reaches((socket.AF_INET, socket.SOCK_STREAM), ("127.0.0.1", p["v4"]))


@escape(control=True)
def try_tcp6(t, p):
    return reaches((socket.AF_INET6, socket.SOCK_STREAM), ("::1", p["v6"]))


@escape(control=True)
def try_udp(t, p):
    return reaches((socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", p["udp"]))


@escape(control=True)
def try_unix(t, p):
    return reaches((socket.AF_UNIX, socket.SOCK_STREAM), p["unix"])


@escape(control=True)
def try_abstract(t, p):
    return reaches((socket.AF_UNIX, socket.SOCK_STREAM), "\0" + p["abstract"])


@escape(control=True)
def try_names(t, p):
    return [a[4] for a in socket.getaddrinfo("localhost", 80)] and reaches(
        (socket.AF_INET, socket.SOCK_STREAM), ("localhost", p["v4"])
    )


@escape(control=True)
def try_listen(t, p):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()
    return s.getsockname()


@escape()
def try_interfaces(t, p):
    return [n for _, n in socket.if_nameindex() if n != "lo"]


@escape()
def try_vsock(t, p):
    socket.socket(40, socket.SOCK_STREAM).close()
    return True


@escape()
def try_packet(t, p):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    return True


@escape(control=True)
def try_netlink(t, p):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    return True


@escape()
def try_alg(t, p):
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()
    return True
