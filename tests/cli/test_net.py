"""Ports of this machine."""

from __future__ import annotations

import socket

from tidemill.cli.net import free_block


def test_platforms_that_start_at_once_look_at_different_ports() -> None:
    bases = {free_block((0, 1), f"/home/{n}") for n in range(20)}
    assert len(bases) > 15


def test_a_block_with_a_held_port_is_passed_over() -> None:
    base = free_block((0, 9), "here")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base + 9))
        holder.listen()
        assert free_block((0, 9), "here") != base
