#!/usr/bin/env python3
"""Runs http_server as process 1 of a process namespace, as a container without an init does.

process_one.py <http_server>. Exit code 77: skipped, with the reason.
"""
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

from usage import PATIENCE, children, get, port_of, wait_until


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def own_processes():
    """The words that start a command as process 1."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        skip("there is no unshare or no nsenter (util-linux)")
    words = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    for more in [], ["--user", "--map-root-user"]:
        if subprocess.run([*words, *more, "true"], capture_output=True, timeout=PATIENCE).returncode == 0:
            return words + more
    skip("this system allows no process namespace")


class ProcessOne:
    """The server, with two workers; `pid` is its number out here."""

    def __init__(self, program):
        words = [*own_processes(), program, "--port", "0", "--workers", "2", "--quiet"]
        self.outside = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.port = port_of(self.outside)
        (self.pid,) = children(self.outside.pid)

    def __enter__(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            numbers = re.search(r"^NSpid:(.*)$", status.read(), re.MULTILINE)[1].split()
        assert numbers[-1] == "1", numbers
        return self

    def __exit__(self, *_):
        self.outside.kill()
        self.outside.stdout.close()
        self.outside.wait(PATIENCE)

    def children(self):
        """Those that live, and those that nobody has reaped."""
        return set(children(self.pid))

    def kill(self, number):
        os.kill(self.pid, number)

    def wait(self):
        return self.outside.wait(PATIENCE)

    def requests(self):
        """How many there were, with this one."""
        answer = get(self.port, "/stats").split(b"\r\n\r\n", 1)[1]
        return sum(each["requests"] for each in json.loads(answer)["workers"])

    def ask(self, path):
        """\\returns the client, when its request is being served"""
        before, mine = self.requests(), itertools.count(1)
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: self.requests() > before + next(mine), "the request does not arrive")
        return client


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def reaps(program):
    """What others leave to it, and its own dead."""
    with ProcessOne(program) as one:
        workers = one.children()
        assert len(workers) == 2, workers
        enter = ["nsenter", "--target", str(one.pid), "--pid"]
        if "--user" in one.outside.args:
            enter += ["--user", "--preserve-credentials"]
        reading, writing = os.pipe()
        command = f"for each in 1 2 3; do cat <&{reading} & done"
        subprocess.run([*enter, "sh", "-c", command], check=True, pass_fds=(reading,), timeout=PATIENCE)
        os.close(reading)
        wait_until(lambda: len(one.children()) == 5, "the orphans are not its children")
        os.close(writing)  # what they read ends, and so do they
        wait_until(lambda: one.children() == workers, "a zombie stays")
        victim = min(workers)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in one.children() and len(one.children()) == 2, "no replacement")
        workers = one.children()
        try:
            get(one.port, "/crash")
        except ConnectionResetError:
            pass
        wait_until(lambda: one.children() != workers and len(one.children()) == 2, "no replacement of the other")
        wait_until(lambda: not any(map(is_zombie, one.children())), "a zombie stays")
        assert b"Hello from worker " in get(one.port)
        one.kill(signal.SIGTERM)
        assert one.wait() == 0


def drains(program, number):
    """A signal lets the client that is served finish, and nobody is left behind."""
    with ProcessOne(program) as one:
        everybody = one.children() | {one.pid}
        with one.ask("/slow?ms=300") as client:
            one.kill(number)
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"slow\n"), answer
        assert one.wait() == 0
        assert not any(os.path.exists(f"/proc/{each}") for each in everybody), "somebody is left"


def is_closed(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        return False
    except ConnectionRefusedError:
        return True


def forces(program):
    """A second signal ends what would take long, and the exit code says so."""
    with ProcessOne(program) as one, one.ask("/slow?ms=3600000"):
        one.kill(signal.SIGTERM)
        wait_until(lambda: is_closed(one.port), "the first signal is ignored")
        one.kill(signal.SIGTERM)
        assert one.wait() == 1


def main():
    (program,) = sys.argv[1:]
    reaps(program)
    drains(program, signal.SIGTERM)
    drains(program, signal.SIGINT)
    forces(program)
    print("process 1: as it should be")


main()
