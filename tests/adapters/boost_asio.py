#!/usr/bin/env python3
"""examples/adapters/boost_asio.cpp under clients while its workers die, with web sockets."""
import os
import signal
import socket
import struct

import killed_workers
from killed_workers import PATIENCE, abuse, drive, get, until

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
UPGRADE = (b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


class WebSocket:
    """A client of RFC 6455."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.connection.sendall(UPGRADE)
        self.input = self.connection.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.input.readline()
            if not line:
                raise ConnectionResetError("cut before the answer")
            head += line
        assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.input.close()
        self.connection.close()

    def send(self, kind, payload):
        mask, size = os.urandom(4), len(payload)
        length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0xFE, size) if size < 65536 else (
            struct.pack(">BQ", 0xFF, size))
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")).to_bytes(
            size, "big")
        self.connection.sendall(bytes([0x80 | kind]) + length + mask + masked)

    def exactly(self, count):
        data = self.input.read(count)
        if len(data) != count:
            raise ConnectionResetError("cut in a frame")
        return data

    def receive(self):
        kind, payload, last = self.frame()
        while not last:
            _, more, last = self.frame()
            payload += more
        return kind, payload

    def frame(self):
        first, size = self.exactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.exactly(8))
        return first & 15, self.exactly(size), first & 0x80

    def echoes(self, kind, payload):
        self.send(kind, payload)
        got = self.receive()
        if got == (CLOSE, b"\x03\xe9"):
            raise ConnectionResetError("the worker leaves")
        assert got == (kind, payload), (got[0], len(got[1]))


def ask(port):
    get(port)
    with WebSocket(port) as client:
        client.echoes(TEXT, "grüß dich".encode())
        client.echoes(BINARY, os.urandom(200))
        client.send(CLOSE, b"\x03\xe8")
        assert client.receive() in ((CLOSE, b"\x03\xe8"), (CLOSE, b"\x03\xe9"))


def web_sockets(server):
    with WebSocket(server.port) as client:
        client.echoes(BINARY, os.urandom(300_000))
        client.send(PING, b"are you there")
        assert client.receive() == (PONG, b"are you there")
        client.connection.sendall(b"\x81\x05hello")  # not masked, as a client's must be
        assert client.receive()[0] == CLOSE
    abuse(server.port, UPGRADE)
    answer = killed_workers.curl(server.port)
    assert answer is None or answer.startswith("Hello from worker "), answer
    reload_says_goodbye(server)


def reload_says_goodbye(server):
    with WebSocket(server.port) as one, WebSocket(server.port) as two:
        one.echoes(TEXT, b"1")
        two.echoes(TEXT, b"2")
        before = server.said("reload: done")
        server.process.send_signal(signal.SIGUSR2)
        for each in (one, two):
            assert each.receive() == (CLOSE, b"\x03\xe9"), "no goodbye"
            each.send(CLOSE, b"\x03\xe9")
        until(lambda: server.said("reload: done") > before, "the reload's end")


drive(ask, web_sockets, reload_cuts=True)
