"""Drives an example server of examples/adapters while its workers die; what the tests beside have in common.

A client that is cut tries again: what is asserted is that every request is answered in the end, that workers are
replaced, that an orderly reload cuts nobody, and that SIGTERM ends everything with exit code 0.
"""
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

PATIENCE = 60 * int(os.environ.get("CLUSTER_TEST_PATIENCE", "1"))
CLIENTS = 4
KILLS = 6


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listing:
            return [int(each) for each in listing.read().split()]
    except FileNotFoundError:
        return []


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.01)


class Server:
    """The program, on a port that the system picked."""

    def __init__(self, path):
        self.process = subprocess.Popen([path, "--port", "0"], stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.port = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        until(lambda: self.port or self.process.poll() is not None, "listening")
        assert self.port, f"the server ended: {self.process.returncode}, {self.lines}"
        assert len(self.workers()) == 2, self.workers()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.match(r"listening on .*:(\d+)$", line):
                self.port = int(found[1])

    def workers(self):
        return children(self.process.pid)

    def said(self, text):
        return sum(text in line for line in list(self.lines))

    def kill_one(self):
        victim = random.choice(self.workers())
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in self.workers() and len(self.workers()) == 2, "a replacement")

    def reload(self):
        old, before = set(self.workers()), self.said("reload: done")
        self.process.send_signal(signal.SIGUSR2)
        until(lambda: self.said("reload: done") > before, "the reload's end")
        until(lambda: not old & set(self.workers()), "the old workers' end")

    def end(self):
        left = self.workers() + [self.process.pid]
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        assert code == 0, f"exit code {code}; {self.lines[-10:]}"
        for each in left:
            assert not os.path.exists(f"/proc/{each}"), f"{each} is left"
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0, "somebody still listens"
        self.reader.join(PATIENCE)


class Clients:
    """Threads that ask for as long as the block runs. `ask(port)` raises OSError or HTTPException when it is cut, and
    AssertionError for a wrong answer."""

    def __init__(self, ask, port):
        self.ask, self.port = ask, port
        self.answered = self.cut = 0
        self.wrong = []
        self.last_cut = None
        self.done = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def _run(self):
        while not self.done and not self.wrong:
            self._one()

    def _one(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask(self.port)
                with self.lock:
                    self.answered += 1
                return
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.cut += 1
                    self.last_cut = error
                time.sleep(0.01)
                if time.monotonic() > deadline:
                    self.wrong.append(f"a request is never answered: {error!r}")
                    return
            except Exception as error:  # pylint: disable=broad-except
                self.wrong.append(repr(error))
                return

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_):
        self.done = True
        for each in self.threads:
            each.join(2 * PATIENCE)
            assert not each.is_alive(), f"a client hangs, after {self.cut} cuts, the last: {self.last_cut!r}"
        assert not self.wrong, self.wrong

    def wait_for(self, more):
        goal = self.answered + more
        until(lambda: self.wrong or self.answered >= goal, f"{more} more answers, {self.answered} so far")
        assert not self.wrong, self.wrong


def get(port, path="/", keep_alive=3, expect=b"Hello from worker "):
    """A few requests on one connection."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        for i in range(keep_alive):
            client.request("GET", path, headers={"Connection": "close"} if i == keep_alive - 1 else {})
            answer = client.getresponse()
            body = answer.read()
            assert answer.status == 200 and body.startswith(expect), (answer.status, body)
    finally:
        client.close()


def get_once(port):
    get(port, keep_alive=1)


def curl(port, *options):
    """What curl says about the server; None without curl."""
    try:
        return subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *options, f"http://127.0.0.1:{port}/"],
                              capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return None


def abuse(port, greeting=b""):
    """Clients that send nonsense, half of something, or leave at once: they harm nobody else."""
    for data in (b"", b"\0" * 100, b"GET", b"x" * 70000, greeting + b"\xff" * 1000, os.urandom(5000)):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            try:
                client.sendall(data)
            except OSError:
                pass  # it has had enough


def drive(ask, during=None, reload_cuts=False, checks=200, kills_beside=0):
    """The whole test. `ask(port)` is one client's whole conversation, `during(server)` what is special about this server,
    and `kills_beside` the number of workers that it kills."""
    server = Server(sys.argv[1])
    try:
        with Clients(ask, server.port) as clients:
            clients.wait_for(20)
            for _ in range(KILLS):
                server.kill_one()
                clients.wait_for(20)
            cut = clients.cut
            for _ in range(2):
                server.reload()  # every worker stops in order, beside siblings that go on
                clients.wait_for(40)
            assert reload_cuts or clients.cut == cut, f"the reload cut {clients.cut - cut}"
        abuse(server.port)
        for _ in range(checks):  # as many as it takes to meet every listener: none is dead
            ask(server.port)
        if during:
            during(server)
        assert server.said("killed by SIGKILL") == KILLS + kills_beside, server.lines
        server.end()
        print(f"{clients.answered} answered, {clients.cut} cut and asked again")
    finally:
        server.process.kill()
        server.process.wait()
