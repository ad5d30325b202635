#!/usr/bin/env python3
"""Runs one of the numbered examples as its user would and checks what its first line promises.

usage.py <name> <program>. The programs have fixed ports: each run has a network of its own where the
system allows that, else the port must be free. Exit code 77: skipped.
"""
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time

PATIENCE = 30 * int(os.environ.get("CLUSTER_TEST_PATIENCE", "1"))


def own_network():
    """A new network namespace with its loopback up; False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    newuser, newnet = 0x10000000, 0x40000000
    if libc.unshare(newnet) != 0 and libc.unshare(newuser | newnet) != 0:
        return False
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS
    return True


def connect(port, source=None):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE, source and (source, 0))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # the program is starting


def read_all(connection):
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def get(port, path="/", source=None):
    with connect(port, source) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return read_all(connection)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listing:
        return [int(each) for each in listing.read().split()]


def wait_until(condition, complaint):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.01)


def kill_with_its_workers(program):
    workers = children(program.pid)
    program.kill()
    program.wait(PATIENCE)
    wait_until(lambda: not any(os.path.exists(f"/proc/{each}") for each in workers), "a worker outlives its primary")


def http_cluster(program):
    for _ in range(20):
        answer = get(8000)
        assert answer.startswith(b"HTTP/1.1 200") and b"Hello from worker " in answer, answer
    victim = children(program.pid)[0]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while victim in children(program.pid) or not children(program.pid):
        assert time.monotonic() < deadline, "no replacement"
        get(8000)
    assert b"Hello from worker " in get(8000)
    program.send_signal(signal.SIGTERM)
    assert program.wait(PATIENCE) == 0
    output = program.stdout.read()
    assert "is listening on" in output and "killed by SIGKILL" in output, output


def messages(program):
    seen = []
    wanted = {"runs as api on 3000": 4, "is ready, pid": 4, "12 squared is 144": 4, "news: only for you": 4}
    counts = dict.fromkeys(wanted, 0)
    while any(counts[each] < wanted[each] for each in wanted):
        line = program.stdout.readline()
        assert line, f"ended early: {seen}"
        seen.append(line)
        for each in wanted:
            counts[each] += each in line
    program.kill()
    program.wait(PATIENCE)


def restart_strategies(program):
    output = program.stdout.read()
    assert program.wait(PATIENCE) == 1
    assert output.count("comes back in") == 5 and output.count("crashes too often") == 1, output


def zero_downtime(program):
    assert b"ok" in get(8000)
    old = children(program.pid)
    program.send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + PATIENCE
    while set(old) & set(children(program.pid)):
        assert b"ok" in get(8000)  # every request, all the time
        assert time.monotonic() < deadline, "the old workers stay"
    assert len(children(program.pid)) == len(old)
    assert b"ok" in get(8000)
    program.send_signal(signal.SIGTERM)
    assert program.wait(PATIENCE) == 0
    output = program.stdout.read()
    assert f"reload done: {len(old)} replaced" in output and "drains" in output, output


def scheduling(program):
    answers = {get(8000).split(b"\r\n\r\n")[1] for _ in range(20)}
    assert len(answers) == 1 and answers.pop().startswith(b"worker "), answers
    program.kill()
    program.wait(PATIENCE)


def shares(port, count, source=None):
    """How many of the answers came from each worker."""
    counts = {}
    for _ in range(count):
        answer = get(port, source=source)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        worker = answer.split(b"Hello from worker ")[1]
        counts[worker] = counts.get(worker, 0) + 1
    return counts


def port_of(server):
    """The port of an http_server that is quiet: all that it says."""
    return int(server.stdout.readline().rsplit(":", 1)[1])


def serve_with(path, model):
    command = [path, "--port", "0", "--workers", "3", "--quiet", "--scheduling", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = port_of(server)
            if model in ("round_robin", "weighted_round_robin"):
                assert sorted(shares(port, 30).values()) == [10, 10, 10], model
            elif model.startswith("sticky"):
                for last in range(1, 9):
                    assert len(shares(port, 4, f"127.0.0.{last}")) == 1, model
            else:
                assert sum(shares(port, 30).values()) == 30
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()


def http_server(program):
    program.kill()
    path = program.args[-1]
    refusal = subprocess.run([path, "--scheduling", "?"], capture_output=True, text=True, timeout=PATIENCE)
    assert refusal.returncode == 2, refusal
    models = refusal.stderr.splitlines()[0].split("there is: ")[1].split(", ")
    assert {"round_robin", "least_connections", "sticky"} <= set(models), models
    for model in models:
        serve_with(path, model)
    chosen = subprocess.run([path], env={**os.environ, "CLUSTER_SCHED_POLICY": "?"}, capture_output=True,
                            text=True, timeout=PATIENCE)
    assert chosen.returncode == 2 and "sticky" in chosen.stderr, chosen


class WebSocket:
    """A client of RFC 6455 for short texts."""

    def __init__(self, port, source):
        self.connection = connect(port, source)
        self.connection.sendall(b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        self.input = self.connection.makefile("rb")
        head = b"".join(iter(self.input.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head
        _, self.worker, _, self.place, _, visit = self.receive().replace(",", "").split()
        self.visit = int(visit)

    def send(self, text, code=0x81):
        mask, payload = b"\1\2\3\4", text.encode()
        masked = bytes(each ^ mask[i % 4] for i, each in enumerate(payload))
        self.connection.sendall(bytes([code, 0x80 | len(payload)]) + mask + masked)

    def frame(self):
        first, length = self.input.read(2)
        return first, self.input.read(length)

    def receive(self):
        first, payload = self.frame()
        assert first == 0x81, first
        return payload.decode()

    def close(self):
        self.send("", 0x88)
        assert self.frame() == (0x88, b"\x03\xe8")
        self.leave()

    def leave(self):
        self.input.close()
        self.connection.close()


def clients_apart(port):
    """A client of one worker and one of another."""
    ann = WebSocket(port, "127.0.0.2")
    for last in range(3, 200):
        bob = WebSocket(port, f"127.0.0.{last}")
        if bob.place != ann.place:
            return ann, bob, f"127.0.0.{last}"
        bob.close()
    raise AssertionError("all clients have one worker")


def sticky_chat(program):
    assert program.stdout.readline().startswith("listening on ")
    ann, bob, bobs_address = clients_apart(8000)
    ann.send("hello")
    assert ann.receive() == bob.receive() == "::ffff:127.0.0.2: hello"
    bob.send("ping", 0x89)
    assert bob.frame() == (0x8A, b"ping")
    home, visit = ann.worker, ann.visit
    for _ in range(3):
        ann.close()
        ann = WebSocket(8000, "127.0.0.2")
        visit += 1
        assert (ann.worker, ann.visit) == (home, visit), "the worker does not know its client"
    victim = [each for each in children(program.pid) if worker_of(each) == bob.worker]
    assert len(victim) == 1, victim
    os.kill(victim[0], signal.SIGKILL)
    assert bob.input.read(1) == b"", "bob's worker lives on"
    second = WebSocket(8000, "127.0.0.2")
    assert (second.worker, second.visit) == (home, visit + 1), "another worker's death moved the client"
    deadline = time.monotonic() + PATIENCE
    while True:
        again = WebSocket(8000, bobs_address)
        if again.place == bob.place:
            break
        again.close()
        assert time.monotonic() < deadline, "bob does not come home"
    assert again.worker != bob.worker
    again.send("back")
    assert ann.receive() == second.receive() == again.receive() == f"::ffff:{bobs_address}: back"
    program.send_signal(signal.SIGTERM)
    assert ann.frame() == (0x88, b"\x03\xe9"), "no goodbye"
    for each in (ann, second, again):
        each.leave()
    assert program.wait(PATIENCE) == 0


def worker_of(pid):
    """The number of the worker that this process is, as ps shows it."""
    with open(f"/proc/{pid}/cmdline", "rb") as title:
        return title.read().decode().split("worker ")[1].split(",")[0]


def backends(program):
    assert program.wait(PATIENCE) == 0
    answers = [line.split(": ")[1] for line in program.stdout.read().splitlines()]
    assert sorted(answers) == ["1346269", "832040"], answers


def shared_memory(program):
    assert program.wait(PATIENCE) == 0
    assert program.stdout.read() == "800000\n"


def shared_metrics(program):
    assert program.wait(PATIENCE) == 0
    lines = sorted(program.stdout.read().splitlines())
    assert lines == ["12 squared is 144, of 20 in the cache", "crashes 5", "hits 80", "misses 20"], lines


def handles(program):
    for _ in range(4):
        with connect(9000) as connection:
            connection.sendall(b"abc")
            data = b""
            while len(data) < len(b"hello guest\nabc"):
                chunk = connection.recv(100)
                assert chunk, data
                data += chunk
            assert data == b"hello guest\nabc", data
    program.kill()
    program.wait(PATIENCE)


def if_else(program):
    for _ in range(8):
        with connect(8000) as connection:
            answer = read_all(connection)
            assert answer.startswith(b"hello from "), answer
    victim = children(program.pid)[0]
    os.kill(victim, signal.SIGKILL)
    # Until then it may take a client with it.
    wait_until(lambda: victim not in children(program.pid), "the killed worker lives on")
    with connect(8000) as connection:
        assert read_all(connection).startswith(b"hello from ")
    kill_with_its_workers(program)


def child_process(program):
    output = program.stdout.read()
    assert program.wait(PATIENCE) == 0, output
    lines = output.splitlines()
    assert "from the parent" in lines and "cat: exit code 0" in lines, output
    # Not how many: the sizes and dates in / change under our feet.
    assert any(re.fullmatch(r"exit code 0: [1-9][0-9]+ bytes", line) for line in lines), output


def echoes(port, text):
    """Whether the answer came; a worker may be killed meanwhile."""
    try:
        with connect(port) as connection:
            connection.sendall(text)
            answer = b""
            while len(answer) < len(text):
                chunk = connection.recv(65536)
                if not chunk:
                    return False
                answer += chunk
            assert answer == text, answer[:100]
            return True
    except ConnectionResetError:
        return False


def asio(program):
    for i in range(20):
        assert echoes(8000, b"hello %d" % i)
    assert echoes(8000, os.urandom(200_000))
    for _ in range(3):
        victim = children(program.pid)[0]
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while victim in children(program.pid) or len(children(program.pid)) < 2 or not echoes(8000, b"still there"):
            assert time.monotonic() < deadline, "no replacement"
    kill_with_its_workers(program)


def udp_echo(program):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        client.connect(("127.0.0.1", 9001))
        deadline = time.monotonic() + PATIENCE
        answers = 0
        while answers != 20:
            assert time.monotonic() < deadline, "no answer"
            try:
                client.send(b"hello")
                answer = client.recv(100)
            except (ConnectionRefusedError, TimeoutError):
                continue  # the program is starting
            assert answer.startswith(b"worker ") and answer.endswith(b": hello"), answer
            answers += 1
    program.send_signal(signal.SIGTERM)
    assert program.wait(PATIENCE) == 0
    assert "udp_echo is bound to " in program.stdout.read()


def pools(program):
    assert program.wait(PATIENCE) == 0
    lines = program.stdout.read().splitlines()
    assert lines == ["832040 hello!", "crashed: killed by SIGABRT",
                     "too slow: the task ran for longer than it may", "6765 10946 17711 28657 ", "3"] or (
        lines[1] == "crashed: killed by SIGABRT (core dumped)" and len(lines) == 5), lines


def own_serializer(program):
    assert program.wait(PATIENCE) == 0
    assert program.stdout.read() == "order 7: two coffees, served\n"


CHECKS = {"01_http_cluster": (http_cluster, 8000), "02_messages": (messages, None),
          "03_restart_strategies": (restart_strategies, None),
          "04_zero_downtime": (zero_downtime, 8000),
          "06_backends": (backends, None), "06_backends_fork": (backends, None),
          "06_backends_thread": (backends, None),
          "05_scheduling": (scheduling, 8000), "http_server": (http_server, None),
          "sticky_chat": (sticky_chat, 8000), "07_pools": (pools, None), "08_shared_memory": (shared_memory, None),
          "shared_metrics": (shared_metrics, None), "own_serializer": (own_serializer, None),
          "09_handles": (handles, 9000), "10_child_process": (child_process, None),
          "11_asio": (asio, 8000), "12_if_else": (if_else, 8000), "udp_echo": (udp_echo, None)}


def main():
    name, path = sys.argv[1:]
    check, port = CHECKS[name]
    if not own_network() and port is not None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                print(f"skipped: port {port} is in use and this system allows no network of one's own")
                sys.exit(77)
    # A terminal, so that the program's output is not held back in a buffer.
    command = ["stdbuf", "-oL", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            check(program)
        finally:
            program.kill()
    print(f"{name}: as promised")


if __name__ == "__main__":
    main()
