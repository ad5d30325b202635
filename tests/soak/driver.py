#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The soak: random faults under load, and a ledger per request id that must balance to zero.

driver.py SERVER [--seconds N] [--seed N] [--scheduling MODEL]... [--faults KIND]... [--verbose] [--keep]
driver.py SERVER --reloads N [--every SECONDS]... [--scheduling MODEL]...

64 clients, half of them with a connection per request and half of them kept alive, ask a cluster
while its workers are killed, stopped (for so long, some, that the library kills them) and continued,
while they or the primary are out of descriptors, and while the cluster is reloaded, also into broken
programs, resized and paused. Every request ends in one of three ways:

  served once; refused by policy (connections are held while nobody serves, so: never); closed after
  its worker had taken the connection and was killed. A worker that drains answers all.

Anything else is a violation, named with its evidence. The seed decides what faults come, and when.

With --reloads there is no other fault and each request has a connection of its own: none may be lost
and the workers that serve never be fewer than there shall be, while the cluster is reloaded N times
at each of the given rates, and then ten times into a broken program.
"""
import argparse
import collections
import ctypes
import heapq
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MODELS = ("round_robin", "shared_socket", "reuse_port")
PATIENCE = 30 * int(os.environ.get("CLUSTER_TEST_PATIENCE", "1"))
WORKERS = 4
CLIENTS = 64
CANNOT_BEGIN = ("exit code 75", "spawn failed", "boot failed")  # 75: server.cpp
RSS_GROWTH = 16 << 20
MOST_PLACES = 16  # of workers: 6 that serve, and as many again that drain, and a few
LONG_STOP = 12  # seconds; the library kills a worker that has not answered for 10
LOST_AFTER = 8  # seconds; not before
BROKEN = ("exits", "hangs", "defers", "garbage", "missing")  # the first three: server.cpp
BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>: connect(2) picks the port, not bind(2)

UNKNOWN, SERVED, REFUSED, CLOSED = range(4)


class Timers:
    def __init__(self):
        self.heap = []
        self.count = 0

    def at(self, when, call):
        self.count += 1
        heapq.heappush(self.heap, (when, self.count, call))

    def after(self, delay, call):
        self.at(time.monotonic() + delay, call)

    def run(self):
        """Runs what is due, but not for ever. Returns the seconds until the next one."""
        for _ in range(100):
            if not self.heap:
                return 1
            left = self.heap[0][0] - time.monotonic()
            if left > 0:
                return left
            heapq.heappop(self.heap)[2]()
        return 0


class Loop:
    def __init__(self):
        self.epoll = select.epoll()
        self.handlers = {}
        self.timers = Timers()
        self.now = time.monotonic()
        self.excused = 0.0  # the seconds in which this process did not get to run
        self.longest = 0.0

    def watch(self, fd, events, handler):
        if fd in self.handlers:
            self.epoll.modify(fd, events)
        else:
            self.epoll.register(fd, events)
        self.handlers[fd] = handler

    def forget(self, fd):
        del self.handlers[fd]
        self.epoll.unregister(fd)

    def turn(self):
        before, self.now = self.now, time.monotonic()
        late = self.now - before
        self.longest = max(self.longest, late)
        if late > 0.5:  # a turn waits for a tenth of a second at most
            self.excused += late
        for fd, events in self.epoll.poll(min(self.timers.run(), 0.1)):
            handler = self.handlers.get(fd)  # an earlier one of this turn may have let go of it
            if handler:
                handler(events)

    def run_until(self, done, seconds):
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            self.turn()
        return True


# --- The clients ------------------------------------------------------------------------------------


class Book:
    """What became of each request id, as its client saw it."""

    def __init__(self):
        self.outcome = bytearray([UNKNOWN])
        self.answered_by = [0]
        self.closed = []  # (id or None, address, connected at, closed at, error)
        self.violations = []

    def issue(self):
        self.outcome.append(UNKNOWN)
        self.answered_by.append(0)
        return len(self.outcome) - 1

    def violation(self, text):
        self.violations.append(text)


class Client:
    def __init__(self, loop, book, port, number, seed, keeps):
        self.loop, self.book, self.port, self.number = loop, book, port, number
        self.random = random.Random(f"{seed} client {number}")
        self.keeps = keeps
        self.stopping = self.done = False
        self.socket = self.request = None
        self.turn = 0  # of what is waited for; a deadline of an earlier one means nothing
        self.address, self.begun = "", 0.0
        self.waits_for = None
        self.watch_patience()
        self.next()

    def next(self):
        if self.stopping:
            self.drop()
            self.done = True
            return
        self.request = self.book.issue()
        if self.socket is None:
            self.left = self.random.randint(2, 50) if self.keeps else 1
            self.connect()
        else:
            self.send()

    def connect(self):
        self.begun = time.monotonic()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_IP, BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind((f"127.0.0.{2 + self.number}", 0))
        self.socket.connect_ex(("127.0.0.1", self.port))
        self.expect(select.EPOLLOUT, self.connected)

    def expect(self, events, handler):
        self.turn += 1
        self.loop.watch(self.socket.fileno(), events, handler)
        self.waits_for, self.waits_since = handler.__name__, self.clock()

    def clock(self):
        """Time, without that in which this process did not get to run: nobody is late by it."""
        return time.monotonic() - self.loop.excused

    def watch_patience(self):
        """One look a second for each client; a timer for each wait would be the better part of the work."""
        if self.done:
            return
        self.loop.timers.after(1, self.watch_patience)
        if self.waits_for and self.clock() - self.waits_since > PATIENCE:
            self.book.violation(
                f"timed out: request {self.request} of {self.address}, {self.waits_for}, connected at {self.begun:.6f}"
            )
            self.drop()
            self.request = None
            self.next()

    def connected(self, _):
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.book.outcome[self.request] = REFUSED
            self.book.violation(f"request {self.request} refused: {os.strerror(error)} at {time.monotonic():.6f}")
            self.drop()
            self.pause(0.02)
            return
        self.address = "%s:%d" % self.socket.getsockname()
        self.send()

    def send(self):
        self.left -= 1
        delay = self.random.randint(1, 20) if self.random.random() < 0.2 else 0
        self.closing = self.left == 0 and self.random.random() < 0.5
        self.input = b""
        self.expect(select.EPOLLIN, self.answer)
        try:
            self.socket.send(b"%d %d %s\n" % (self.request, delay, b"close" if self.closing else b"keep"))
        except OSError as error:
            self.ended(error)

    def receive(self):
        """Bytes; b"" at the end; None when there was nothing to read or the connection is over."""
        try:
            return self.socket.recv(4096)
        except BlockingIOError:
            return None
        except OSError as error:
            self.ended(error)
            return None

    def answer(self, _):
        data = self.receive()
        if data is None:
            return
        if not data:
            self.ended(None)
            return
        self.input += data
        if not self.input.endswith(b"\n"):
            return
        words = self.input.split()
        if len(words) != 2 or int(words[0]) != self.request:
            self.book.violation(f"request {self.request} of {self.address} was answered {self.input}")
        else:
            self.book.outcome[self.request] = SERVED
            self.book.answered_by[self.request] = int(words[1])
        self.request = None
        if self.closing:
            self.expect(select.EPOLLIN, self.end)
        elif self.left == 0:
            self.drop()
            self.pause(self.think())
        else:
            self.think_connected()

    def think_connected(self):
        delay = self.think()
        if delay == 0:
            self.next()
            return
        self.expect(select.EPOLLIN, self.idle_event)
        turn = self.turn
        self.loop.timers.after(delay, lambda: turn == self.turn and self.next())

    def idle_event(self, _):
        data = self.receive()
        if data == b"":
            self.ended(None)
        elif data:
            self.book.violation(f"{self.address} got {data} that it had not asked for")

    def end(self, _):
        """The server has been asked to close after its answer: what comes is the end, in any way."""
        try:
            data = self.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.book.violation(f"{self.address} got {data} behind its last answer")
        self.drop()
        self.pause(self.think())

    def ended(self, error):
        """The connection is over before its time."""
        if self.request is not None:
            self.book.outcome[self.request] = CLOSED
        self.book.closed.append((self.request, self.address, self.begun, time.monotonic(), str(error or "end")))
        self.request = None
        self.drop()
        self.pause(self.think())

    def drop(self):
        self.turn += 1
        self.waits_for = None
        if self.socket is not None:
            if self.socket.fileno() in self.loop.handlers:
                self.loop.forget(self.socket.fileno())
            self.socket.close()
            self.socket = None

    def think(self):
        return self.random.random() * 0.02 if self.random.random() < 0.5 else 0

    def pause(self, delay):
        turn = self.turn
        self.loop.timers.after(delay, lambda: turn == self.turn and self.next())


# --- The server and what is done to it --------------------------------------------------------------


LIBC = ctypes.CDLL(None)


def die_with_driver():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed driver leaves nothing behind


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def descriptors(pid):
    """What the process has open, by kind and in order: sockets and pipes without their numbers."""
    kinds = []
    with open("/proc/net/tcp", encoding="ascii") as table:
        listening = {each.split()[9] for each in table if each.split()[3] == "0A"}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            name, _, inode = os.readlink(f"/proc/{pid}/fd/{fd}").partition(":[")
            name = "listening socket" if inode[:-1] in listening else name
            kinds.append(name.removesuffix(" (deleted)"))  # a reload replaces the program file
        except OSError:
            pass  # closed meanwhile
    return sorted(kinds)


def settled_descriptors(loop, pid):
    """The same, once ten looks in a row have found no change: the primary has come to rest."""
    seen = collections.deque(maxlen=10)

    def rests():
        seen.append(descriptors(pid))
        time.sleep(0.02)
        return len(seen) == 10 and all(each == seen[0] for each in seen)

    loop.run_until(rests, PATIENCE)
    return seen[-1]


def memory(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Server:
    def __init__(self, loop, book, program, directory, model):
        self.loop, self.book, self.directory, self.model = loop, book, directory, model
        self.program = os.path.join(directory, "server")
        with open(program, "rb") as file:
            self.image = file.read()
        self.broken = None  # how the program on disk is
        self.broken_until = 0.0  # when the last one that was became whole
        self.install(None)
        with open(os.path.join(directory, "stderr"), "wb") as errors:
            self.process = subprocess.Popen(
                [self.program, directory, str(WORKERS), model],
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=die_with_driver,
            )
        self.pid = self.process.pid
        self.port = None
        self.listening = {}  # pid: id
        self.begun = set()  # ids of all that ever listened
        self.serving = self.fewest = 0
        self.signalled = False  # a reload whose signal has not arrived
        self.in_flight = 0  # reloads
        self.reloads = collections.Counter()  # by how they ended
        self.failed = []  # good reloads: (id of the worker or 0, when, why)
        self.stopped = {}  # pid: when, the last time
        self.harmed = set()  # ids of workers that were ever stopped or killed
        self.unresponsive = self.drained = 0
        self.paused_at = -1e9
        self.kill_sent = {}  # pid: when, until its exit is told
        self.killed = {}  # id: when
        self.pulses = 0  # that go on
        self.last_pulse = 0.0  # when one ended
        self.cannot_begin = 0
        self.output = b""
        self.ended = False
        os.set_blocking(self.process.stdout.fileno(), False)
        loop.watch(self.process.stdout.fileno(), select.EPOLLIN, self.read)

    def read(self, _):
        data = self.process.stdout.read(65536)
        if data is None:
            return
        if not data:
            self.ended = True
            self.loop.forget(self.process.stdout.fileno())
            return
        *lines, self.output = (self.output + data).split(b"\n")
        for line in lines:
            self.event(line.decode())

    def event(self, line):
        what, worker, pid, rest = line.split(" ", 3)
        worker, pid = int(worker), int(pid)
        if what == "listening":
            self.listening[pid] = worker
            self.begun.add(worker)
            self.port = self.port or int(rest)
            if self.port != int(rest):
                self.book.violation(f"worker {worker} listens on another port: {rest} instead of {self.port}")
        elif what == "exit":
            self.listening.pop(pid, None)
            self.exited(worker, pid, *rest.split(" ", 1))
        elif what == "serving":
            self.serving = int(rest)
            self.fewest = min(self.fewest, self.serving)
        elif what == "asked":
            self.signalled = False
            self.in_flight += 1
        elif what == "scaled" and rest == "0":
            self.paused_at = time.monotonic()
        elif what == "reloaded":
            self.in_flight -= 1
            self.reloaded(worker, pid, rest)
        elif what == "error" and not self.short_of_descriptors() and not self.lately_broken():
            self.book.violation(f"error of worker {worker}, pid {pid}, at {time.monotonic():.6f}: {rest}")

    def exited(self, worker, pid, how, status):
        stopped = self.stopped.pop(pid, None)
        if stopped or pid in self.kill_sent:
            self.harmed.add(worker)
        if pid in self.kill_sent:
            self.killed[worker] = self.kill_sent.pop(pid)
        elif status.startswith("unresponsive") and stopped and time.monotonic() - stopped > LOST_AFTER:
            self.killed[worker] = stopped  # when its connections may have begun to suffer
            self.unresponsive += 1
        elif how == "left" and status in ("exit code 0", "recycled: exit code 0"):
            self.drained += 1
        elif self.short_of_descriptors() and status.startswith(CANNOT_BEGIN):
            self.cannot_begin += 1
        elif self.lately_broken() and (worker not in self.begun or status.startswith("boot failed")):
            pass
        elif stopped and (worker not in self.begun or status.startswith("boot failed")):
            pass
        elif not self.process_ends:
            self.book.violation(f"worker {worker}, pid {pid}, {how} by itself at {time.monotonic():.6f}: {status}")

    def reloaded(self, replaced, generation, why):
        if self.broken:
            self.reloads["refused" if why != "ok" else "broken"] += 1
            if why == "ok" or replaced:
                self.book.violation(
                    f"a program that {self.broken} passed as generation {generation}, {replaced} replaced: {why}"
                )
            return
        self.reloads["ok" if why == "ok" else "failed"] += 1
        paused = ("no worker was left to replace", "scaled to nothing: no worker could prove the program")
        if why in paused and time.monotonic() - self.paused_at < 2 * PATIENCE:
            return
        if why != "ok" and not self.short_of_descriptors():
            named = re.match(r"worker (\d+) ", why)
            self.failed.append((int(named[1]) if named else 0, time.monotonic(), why))

    def judge_reloads(self):
        """A reload into a good program fails when its new worker was killed or stopped, or not at all."""
        for worker, when, why in self.failed:
            if worker not in self.harmed:
                self.book.violation(f"a reload failed at {when:.6f}: {why}")

    def install(self, broken):
        """Replaces the program on disk as one does it, without a moment in which there is none."""
        if self.broken and not broken:
            self.broken_until = time.monotonic()
        self.broken = broken
        with open(os.path.join(self.directory, "ready_timeout"), "w", encoding="ascii") as wish:
            wish.write("1000" if broken else "30000")
        if broken == "missing":
            os.remove(self.program)
            return
        image = self.image
        if broken:
            image = b"broken\n" if broken == "garbage" else image + b"!!" + broken.encode().ljust(6, b"!")
        path = self.program + ".new"
        with open(path, "wb") as file:
            file.write(image)
        os.chmod(path, 0o755)
        os.rename(path, self.program)

    def lately_broken(self):
        return self.broken or time.monotonic() - self.broken_until < 10

    def rests(self):
        """No reload runs or is about to."""
        return not self.signalled and self.in_flight == 0

    def reload(self):
        self.signalled = True
        self.process.send_signal(signal.SIGUSR2)

    def reload_broken(self, how):
        """Needs that no other reload runs. The good program is back on disk as soon as it has ended."""
        self.install(how)
        self.reload()
        self.restore_program()

    def restore_program(self):
        if self.rests() or self.ended:
            self.install(None)
        else:
            self.loop.timers.after(0.01, self.restore_program)

    process_ends = False

    def short_of_descriptors(self):
        return self.pulses != 0 or time.monotonic() - self.last_pulse < 5

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as listing:
            return sorted(int(each) for each in listing.read().split())

    def signal(self, pid, which):
        """Sends a signal to a worker, and to nobody who got its number behind it."""
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if parent_of(pid) != self.pid:
                return False
            if which == signal.SIGKILL:
                self.kill_sent.setdefault(pid, time.monotonic())
            elif which == signal.SIGSTOP:
                self.stopped[pid] = time.monotonic()
            signal.pidfd_send_signal(handle, which)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)

    def stop(self):
        self.process_ends = True
        self.process.send_signal(signal.SIGTERM)


class Faults:
    """Draws faults from the seed and does them, until told to heal everything."""

    KINDS = {
        "kill": 4,
        "stop": 3,
        "stop_kill": 1,
        "stop_long": 0.5,
        "kill_all": 1,
        "emfile_worker": 2,
        "emfile_primary": 2,
        "reload": 3,
        "reload_broken": 2,
        "resize": 3,
        "pause": 0.5,
    }

    def __init__(self, loop, server, seed, kinds, verbose):
        self.loop, self.server, self.verbose = loop, server, verbose
        self.random = random.Random(f"{seed} faults")
        self.kinds = [each for each in self.KINDS if not kinds or each in kinds]
        self.log = open(os.path.join(server.directory, "faults"), "w", encoding="ascii")
        self.counts = collections.Counter()
        self.limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        self.figures = []
        self.paused = False
        self.on = True
        self.long_stop_ends, self.long_stopped = 0.0, 0
        self.plan()

    def plan(self):
        """All of one fault is drawn before it is known whom it hits: the seed's sequence is fixed."""
        draw = self.random
        kind = draw.choices(self.kinds, [self.KINDS[each] for each in self.kinds])[0]
        wait, victim, duration = draw.uniform(0.05, 0.6), draw.randrange(1 << 16), draw.uniform(0.05, 1.2)
        self.loop.timers.after(wait, lambda: self.on and self.fault(kind, victim, duration))

    def fault(self, kind, victim, duration):
        self.plan()
        if kind.startswith("emfile"):
            candidates = sorted(self.server.listening)
        else:
            candidates = self.server.children()
        if kind == "emfile_primary":
            candidates = [self.server.pid]
        if time.monotonic() < self.long_stop_ends:  # it is the library that shall kill that one
            candidates = [each for each in candidates if each != self.long_stopped]
        if kind == "stop_long" and time.monotonic() < self.long_stop_ends:
            return  # enough of them stand still
        if kind == "reload_broken" and self.paused:
            return  # with nobody to prove it a program passes
        if kind.startswith("reload") and self.server.broken or kind == "reload_broken" and not self.server.rests():
            return  # it would not be known which program is meant
        if kind in self.OF_CLUSTER:
            self.counts[kind] += 1
            self.note(f"{kind} {victim} {duration:.3f}")
            self.of_cluster(kind, victim, duration)
            return
        if not candidates:
            return
        pid = candidates[victim % len(candidates)]
        self.counts[kind] += 1
        self.note(f"{kind} {pid} {duration:.3f}")
        if kind == "kill":
            self.server.signal(pid, signal.SIGKILL)
        elif kind == "kill_all":
            for each in candidates:
                self.server.signal(each, signal.SIGKILL)
        elif kind.startswith("stop"):
            self.server.signal(pid, signal.SIGSTOP)
            if kind == "stop_long":
                duration = LONG_STOP
                self.long_stop_ends = time.monotonic() + duration
                self.long_stopped = pid
            last = signal.SIGKILL if kind == "stop_kill" else signal.SIGCONT
            self.loop.timers.after(duration, lambda: self.note_signal(pid, last))
        else:
            self.pulse(pid, duration)

    OF_CLUSTER = ("reload", "reload_broken", "resize", "pause")

    def of_cluster(self, kind, victim, duration):
        if kind == "reload":
            self.server.reload()
        elif kind == "reload_broken":
            self.server.reload_broken(BROKEN[victim % len(BROKEN)])
        elif kind == "resize":
            self.server.process.send_signal((signal.SIGTTIN, signal.SIGTTOU)[victim % 2])
        else:
            self.paused = True
            self.server.process.send_signal(signal.SIGUSR1)
            self.loop.timers.after(duration, self.full_size)

    def full_size(self):
        self.note("full size")
        self.loop.timers.after(0.5, lambda: setattr(self, "paused", False))  # workers are there again
        if not self.server.ended:
            self.server.process.send_signal(signal.SIGHUP)

    def note(self, text):
        line = f"{time.monotonic():.6f} {text}"
        print(line, file=self.log, flush=True)
        if self.verbose:
            print("  fault", line)

    def note_signal(self, pid, which):
        if pid == self.long_stopped and time.monotonic() < self.long_stop_ends - 0.01:
            return  # the end of a shorter stop
        self.note(f"{which.name} {pid}")
        self.server.signal(pid, which)

    def pulse(self, pid, duration):
        """Leaves the process the descriptors that it has now, and no other."""
        if pid != self.server.pid and parent_of(pid) != self.server.pid:
            return  # dead, and its number may be another's
        try:
            used = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
            now = next(each for each in range(len(used) + 1) if each not in used)  # a gap would be room
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (now, self.limits[1]))
        except OSError:
            return
        self.server.pulses += 1
        self.note(f"limit of {pid} is {now}")
        self.loop.timers.after(duration, lambda: self.end_pulse(pid))

    def end_pulse(self, pid):
        self.server.pulses -= 1
        self.server.last_pulse = time.monotonic()
        self.restore(pid)
        if pid == self.server.pid:  # who was born meanwhile has inherited the limit
            for delay in (0, 0.1, 0.5):
                self.loop.timers.after(delay, self.restore_children)

    def restore(self, pid):
        try:
            if pid == self.server.pid or parent_of(pid) == self.server.pid:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, self.limits)
        except OSError:
            pass  # dead

    def restore_children(self):
        if not self.server.pulses:
            for each in self.server.children():
                self.restore(each)

    def heal(self):
        self.on = False
        self.note("heal")
        self.restore(self.server.pid)
        for each in self.server.children():
            self.restore(each)
            self.server.signal(each, signal.SIGCONT)
        self.full_size()


# --- The reckoning ----------------------------------------------------------------------------------


class Ledgers:
    """What the workers have written: who took and answered which id, and who took which connection."""

    def __init__(self, directory, book):
        self.book = book
        self.issued = len(book.outcome)
        self.taken = bytearray(self.issued)
        self.sent = bytearray(self.issued)
        self.taken_by = [0] * self.issued
        self.connections = collections.defaultdict(list)  # address: [(when, id of the worker)]
        self.wanted = {each[1] for each in book.closed}
        for name in os.listdir(directory):
            if name.startswith("ledger."):
                with open(os.path.join(directory, name), encoding="ascii") as lines:
                    self.read(lines, int(name.split(".")[1]))

    def read(self, lines, worker):
        for line in lines:
            what, which, when = line.split()
            if what == "connection":
                if which in self.wanted:
                    self.connections[which].append((int(when) / 1e9, worker))
                continue
            number = int(which)
            if not 0 < number < self.issued:
                self.book.violation(f"worker {worker} has {what} {number}, which nobody asked")
                continue
            counts = self.taken if what == "taken" else self.sent
            counts[number] = min(counts[number] + 1, 255)
            if what == "taken":
                self.taken_by[number] = worker

    def taker(self, address, begun, ended):
        for when, worker in self.connections[address]:
            if begun <= when <= ended:
                return worker
        return None


def reckon(book, server):
    """Compares the ledgers of both sides. Returns the counts of what is accounted for."""
    ledgers = Ledgers(server.directory, book)
    counts = collections.Counter()
    for number in range(1, ledgers.issued):
        taken, sent = ledgers.taken[number], ledgers.sent[number]
        outcome = book.outcome[number]
        if taken > 1 or sent > 1:
            book.violation(f"request {number} was taken {taken} times and answered {sent} times")
        elif outcome == SERVED and (taken, sent, ledgers.taken_by[number]) == (1, 1, book.answered_by[number]):
            counts["served"] += 1
        elif outcome == SERVED:
            book.violation(
                f"request {number} was served by worker {book.answered_by[number]}, the ledgers say: taken {taken}"
                f" times, by {ledgers.taken_by[number]}, sent {sent} times"
            )
        elif outcome == UNKNOWN:
            counts["unknown"] += 1
    if counts["unknown"]:
        book.violation(f"{counts['unknown']} requests without an outcome")
    judge_closed(book, server, ledgers, counts)
    return counts


def judge_closed(book, server, ledgers, counts):
    """A connection may only end early when the worker that had taken it was killed.

    Between the instant at which a connection is the worker's and the line in its ledger a kill leaves
    no trace of who had it: that explains one connection per kill, open at that time, and no more."""
    unexplained_kills = dict(server.killed)
    for number, address, begun, ended, error in book.closed:
        what = f"request {number}" if number else "the idle connection"
        evidence = f"{what} of {address}, connected at {begun:.6f}, closed at {ended:.6f} ({error})"
        worker = ledgers.taker(address, begun, ended)
        if worker is None:
            guilty = [each for each, when in unexplained_kills.items() if begun - 0.1 <= when <= ended]
            if not guilty:
                book.violation(f"closed before any worker took it: {evidence}")
                continue
            del unexplained_kills[guilty[0]]
            counts["unseen"] += 1
        elif worker not in server.killed or server.killed[worker] > ended:
            book.violation(f"closed by worker {worker}, which nobody had killed: {evidence}")
            continue
        elif number and ledgers.taken[number] and ledgers.taken_by[number] != worker:
            book.violation(f"taken by {ledgers.taken_by[number]}, on a connection of worker {worker}: {evidence}")
            continue
        counts["closed" if number else "idle"] += 1


# --- One run ----------------------------------------------------------------------------------------


def check_rest(loop, book, server, before):
    """Nothing asks any more and all faults are healed: the primary must come back to what it was."""
    if not loop.run_until(lambda: server.rests() and not server.broken, PATIENCE):
        book.violation("a reload has not ended")
    # One reload too early would fail by what the last faults have left behind.
    for what in ("after the faults", "after one more reload"):
        if not loop.run_until(lambda: len(server.listening) == len(server.children()) == WORKERS, PATIENCE):
            book.violation(f"{len(server.listening)} listen of {len(server.children())}, not {WORKERS}, {what}")
        if what == "after the faults":
            good = server.reloads["ok"]
            server.reload()
            if not loop.run_until(lambda: server.rests() and server.reloads["ok"] > good, PATIENCE):
                book.violation(f"the last reload did not succeed: {server.failed[-1:]}")
    then = collections.Counter(before[0])
    if server.model == "reuse_port":  # a place that once was has its socket for ever: clients may be in its queue
        then["listening socket"] = max(then["listening socket"], descriptors(server.pid).count("listening socket"))
        if then["listening socket"] > MOST_PLACES:
            book.violation(f"{then['listening socket']} listening sockets")
    if not loop.run_until(lambda: collections.Counter(descriptors(server.pid)) == then, PATIENCE):
        now = collections.Counter(descriptors(server.pid))
        book.violation(f"descriptors of the primary: more {dict(now - then)}, fewer {dict(then - now)}")
    for each in server.children():
        with open(f"/proc/{each}/stat", encoding="latin-1") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                book.violation(f"process {each} is a zombie")
    grown = memory(server.pid) - before[1]
    if grown > RSS_GROWTH:
        book.violation(f"the primary has grown by {grown >> 10} KiB")
    return grown


def check_end(loop, book, server):
    server.stop()
    if not loop.run_until(lambda: server.ended and server.process.poll() is not None, PATIENCE):
        book.violation("the cluster did not end on SIGTERM")
    elif server.process.returncode != 0:
        book.violation(f"the primary ended with {server.process.returncode}")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            left = os.readlink(f"/proc/{pid}/exe").split(" (deleted)")[0] == server.program
        except OSError:
            continue
        if left:
            book.violation(f"process {pid} is left")
            os.kill(int(pid), signal.SIGKILL)  # ours: it runs the copy that this run has made


class Reloads:
    """Reloads at fixed rates, then broken ones one after the other; has counts, as Faults has."""

    def __init__(self, loop, server, arguments):
        self.loop, self.server = loop, server
        self.counts = collections.Counter()
        self.figures = []
        self.left = [(every, arguments.reloads) for every in arguments.every]
        self.over = False
        self.server.fewest = self.server.serving
        self.next_rate()

    def next_rate(self):
        if not self.left:
            self.broken = ["exits"] * 3 + ["garbage"] * 2 + ["missing"] * 2 + ["defers", "hangs", "exits"]
            self.counts["broken"] = len(self.broken)
            self.next_broken()
            return
        self.every, self.count = self.left.pop(0)
        self.begun, self.before = time.monotonic(), self.server.reloads["ok"]
        self.sent = 0
        self.step()

    def step(self):
        if self.sent != self.count:
            self.server.reload()
            self.sent += 1
            self.counts["asked"] += 1
            self.loop.timers.at(self.begun + self.sent * self.every, self.step)
        elif not self.server.rests():
            self.loop.timers.after(0.01, self.step)
        else:
            done = self.server.reloads["ok"] - self.before
            spent = time.monotonic() - self.begun
            self.figures.append(f"{self.count} asked, one every {self.every:g} s: {done} done in {spent:.1f} s")
            self.next_rate()

    def next_broken(self):
        if not self.server.rests() or self.server.broken:
            self.loop.timers.after(0.01, self.next_broken)
        elif not self.broken:
            self.figures.append(f"fewest that served: {self.server.fewest} of {WORKERS}")
            self.over = True
        else:
            self.server.reload_broken(self.broken.pop(0))
            self.next_broken()

    def heal(self):
        if self.server.fewest < WORKERS:
            self.server.book.violation(f"only {self.server.fewest} of {WORKERS} served")
        if not self.over:
            self.server.book.violation("the reloads did not come to their end")


def load(loop, book, server, arguments, seed, seconds):
    """The clients and the faults. Returns what the faults were."""
    if arguments.reloads:
        faults = Reloads(loop, server, arguments)
        clients = [Client(loop, book, server.port, each, seed, False) for each in range(CLIENTS)]
        seconds = sum(arguments.reloads * each for each in arguments.every) * 5 + 10 * PATIENCE
        loop.run_until(lambda: faults.over or server.ended, seconds)
    else:
        faults = Faults(loop, server, seed, arguments.faults, arguments.verbose)
        clients = [Client(loop, book, server.port, each, seed, each % 2 == 1) for each in range(CLIENTS)]
        finish = time.monotonic() + seconds
        loop.run_until(lambda: time.monotonic() > finish or server.ended, seconds + PATIENCE)
    if server.ended:
        book.violation(f"the primary ended with {server.process.wait()}")
        return faults
    faults.heal()
    for each in clients:
        each.stopping = True
    loop.run_until(lambda: all(each.done for each in clients), 3 * PATIENCE)
    return faults


def run(model, arguments, seed, seconds):
    """One cluster, from its start to its end. Returns whether nothing was violated."""
    directory = os.path.realpath(tempfile.mkdtemp(prefix="cluster-soak-"))
    loop, book = Loop(), Book()
    server = Server(loop, book, arguments.server, directory, model)
    try:
        if not loop.run_until(lambda: len(server.listening) == server.serving == WORKERS, PATIENCE):
            book.violation("the cluster did not start")
        else:
            before = settled_descriptors(loop, server.pid), memory(server.pid)
            begun = time.monotonic()
            faults = load(loop, book, server, arguments, seed, seconds)
            spent = time.monotonic() - begun
            grown = 0 if server.ended else check_rest(loop, book, server, before)
            check_end(loop, book, server)
            server.judge_reloads()
            counts = reckon(book, server)
            report(model, seed, server, faults, counts, book, spent, grown)
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    for each in book.violations[:20]:
        print("  VIOLATION:", each)
    if book.violations:
        again = f"--scheduling {model} --seed {seed} --seconds {seconds:g}"
        if arguments.reloads:
            again = f"--scheduling {model} --reloads {arguments.reloads}"
            again += "".join(f" --every {each:g}" for each in arguments.every)
        print(f"  {len(book.violations)} violations; again: {again}")
        with open(os.path.join(directory, "stderr"), encoding="utf-8", errors="replace") as errors:
            print("  stderr ends with:", errors.read()[-1000:] or "nothing")
    if book.violations or arguments.keep:
        print("  ledgers and faults:", directory)
    else:
        shutil.rmtree(directory)
    sys.stdout.flush()
    return not book.violations


def report(model, seed, server, faults, counts, book, spent, grown):
    issued = len(book.outcome) - 1
    balance = issued - counts["served"] - counts["closed"]  # no policy of this cluster refuses any
    print(
        f"{model}, seed {seed}: {issued} requests in {spent:.1f} s, {issued / spent:.0f}/s;"
        f" {counts['served']} served once, 0 refused by policy, {counts['closed']} closed by a kill; balance {balance}"
    )
    print(
        f"  faults {dict(faults.counts)}; {len(server.killed)} workers killed, {counts['idle']} idle connections"
        f" closed by it, {counts['unseen']} kills before the ledger's line, {server.cannot_begin} starts without"
        f" descriptors, the primary grew by {grown >> 10} KiB"
    )
    print(
        f"  reloads {dict(server.reloads)}; {server.drained} workers drained, {server.unresponsive} killed by the"
        f" library; the driver's longest turn {server.loop.longest:.2f} s; " + "; ".join(faults.figures)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("--seconds", type=float, default=60, help="for all models together; default 60")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--scheduling", action="append", choices=MODELS, help="default: all three")
    parser.add_argument("--faults", action="append", choices=tuple(Faults.KINDS), help="default: all kinds")
    parser.add_argument("--verbose", action="store_true", help="print each fault")
    parser.add_argument("--keep", action="store_true", help="keep the ledgers; kept anyway after a violation")
    parser.add_argument("--reloads", type=int, default=0, help="this many at each rate, and no other fault")
    parser.add_argument("--every", type=float, action="append", help="seconds between reloads; default 1")
    arguments = parser.parse_args()
    arguments.every = arguments.every or [1.0]
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    models = arguments.scheduling or MODELS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = [run(each, arguments, seed, arguments.seconds / len(models)) for each in models]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
