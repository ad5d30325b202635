# SPDX-License-Identifier: MIT
"""Servers as children of ours, and what they and the machine use of CPU time and memory."""

import ctypes
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import tempfile
import time

from .tools import say, skip

TICKS = os.sysconf("SC_CLK_TCK")


def stat_of(pid):
    """(parent, CPU ticks with those of reaped children) or None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15])


def tree_of(root):
    """{pid: ticks} of a process and all its descendants."""
    known = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := stat_of(name)):
            known[int(name)] = found
    children = {}
    for pid, (parent, _) in known.items():
        children.setdefault(parent, []).append(pid)
    tree, left = {}, [root] if root in known else []
    while left:
        pid = left.pop()
        tree[pid] = known[pid][1]
        left += children.get(pid, [])
    return tree


def cpu_of(root):
    """Seconds of CPU time of the whole tree, and of its root alone."""
    fields = pathlib.Path(f"/proc/{root}/stat").read_text().rpartition(")")[2].split()
    alone = (int(fields[11]) + int(fields[12])) / TICKS
    return sum(tree_of(root).values()) / TICKS, alone


def run_time(pids):
    """Microseconds of CPU time of these processes, by the scheduler's own clock."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1000


def machine_cpu():
    """Seconds that the machine's CPUs were busy."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS


def name_of(pid):
    """What the process calls itself; None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return None


def private_kib(pid):
    """Memory of a process that no other has, in KiB; None when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    return sum(int(number) for number in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


class Server:
    """One server under test: started once per group, idle while the others are measured."""

    running = []

    def __init__(self, name, role, command, port=None):
        self.name = name
        self.role = role
        self.command = [str(part) for part in command]
        self.port = port  # None: the server prints "listening on HOST:PORT"
        self.process = None

    def start(self):
        """None, or why the server cannot be used."""
        self.log = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True
            )
        except OSError as error:
            return str(error)
        Server.running.append(self)
        ready = self.wait_for_port() if self.port else self.wait_for_line()
        if ready:
            return None
        self.stop()
        self.log.seek(0)
        words = self.log.read().strip().splitlines()
        return "did not start" + (f": {words[-1]}" if words else "")

    def wait_for_port(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def wait_for_line(self):
        selector = selectors.DefaultSelector()
        selector.register(self.process.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + 60
        text = b""
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                return False
            text += part
            if found := re.search(rb"listening on \S+:(\d+)\s", text):
                self.port = int(found[1])
                return True
        return False

    def workers(self):
        """The processes below the one that was started."""
        return sorted(set(tree_of(self.process.pid)) - {self.process.pid})

    def stop(self):
        """SIGTERM to the server, later SIGKILL to whatever is left of its tree; reaps them all."""
        if not self.process:
            return
        left = set(tree_of(self.process.pid))
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            say(f"{self.name}: did not end on SIGTERM, killed")
            left |= set(tree_of(self.process.pid))
            self.process.kill()
            self.process.wait()
        left.discard(self.process.pid)
        deadline = time.monotonic() + 2
        while left := {pid for pid in left if not reaped(pid)}:
            if time.monotonic() > deadline:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)  # our unreaped children: no other can have the id
            time.sleep(0.02)
        self.process.stdout.close()
        self.process = None
        Server.running.remove(self)


def started(servers, options):
    """Those of the servers that are wanted, exist and start."""
    running = []
    for server in servers:
        if server is None or (options.only and server.name not in options.only):
            continue
        if reason := server.start():
            skip(server.name, reason)
        else:
            running.append(server)
    return running


def stop(servers):
    for server in servers:
        server.stop()


def reaped(pid):
    """Orphans come to us (become_subreaper), so that none stays behind, dead or alive."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def sweep():
    """Ends what a server started after its tree was looked at."""
    stop(list(Server.running))
    for pid in set(tree_of(os.getpid())) - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        while os.waitpid(-1, 0):
            pass
    except ChildProcessError:
        pass


def become_subreaper():
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)
