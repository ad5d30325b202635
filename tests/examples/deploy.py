#!/usr/bin/env python3
"""Does with the files of examples/deploy what systemd and Kubernetes would do.

deploy.py unit|manager|kubernetes <http_server>. Exit code 77: skipped, with the reason.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request

from usage import PATIENCE, get, port_of

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "examples" / "deploy"
UNIT = DEPLOY / "http_server.service"
INSTALLED = "/usr/local/bin/http_server"


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def setting(name):
    """A setting of the unit's; nothing there needs more than a line."""
    return re.search(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)[1]


def on_free_port(words):
    """The command line of a server that says on what port of the system's choice it listens, and nothing else."""
    at = words.index("--port")
    return words[:at + 1] + ["0"] + words[at + 2:] + ["--workers", "2", "--quiet"]


# --- systemd: what it thinks of the unit, and what the server tells it


def unit(program):
    if not shutil.which("systemd-analyze"):
        skip("there is no systemd-analyze")
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory) / UNIT.name
        copy.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, program), encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True,
                              timeout=PATIENCE)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    if done.returncode != 0 and not complaints:
        skip(f"systemd-analyze does not work here: {done.stderr.strip()}")
    assert not complaints, done.stderr


class Manager:
    """The other side of sd_notify(3)."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(PATIENCE)
        self.fed = 0

    def next_state(self):
        """The next that is more than a status, as a dictionary."""
        while True:
            told = dict(line.split("=", 1) for line in self.socket.recv(8192).decode().split("\n"))
            self.fed += "WATCHDOG" in told
            if told.keys() - {"STATUS", "WATCHDOG"}:
                return told


def manager(program):
    assert setting("Type") == "notify"
    words = on_free_port(setting("ExecStart").replace(INSTALLED, program).split())
    reload = setting("ExecReload").split()
    timeout = int(setting("WatchdogSec"))
    with tempfile.TemporaryDirectory() as directory:
        systemd = Manager(directory)
        told = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": str(timeout * 1000)}  # a thousand times as often
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **told}) as server:
            try:
                assert systemd.next_state() == {"READY": "1", "STATUS": "2 of 2 workers ready"}
                port = port_of(server)
                assert get(port).startswith(b"HTTP/1.1 200")
                os.kill(server.pid, getattr(signal, "SIG" + reload[1].lstrip("-")))
                begun = systemd.next_state()
                assert begun["RELOADING"] == "1" and int(begun["MONOTONIC_USEC"]) > 0, begun
                assert systemd.next_state() == {"READY": "1", "STATUS": "2 of 2 workers ready"}
                seen = systemd.fed
                while systemd.fed < seen + 3:  # it is fed for as long as it lives
                    systemd.fed += "WATCHDOG=1" in systemd.socket.recv(8192).decode()
                server.send_signal(signal.SIGTERM)
                assert "STOPPING" in systemd.next_state()
                assert server.wait(PATIENCE) == 0
            finally:
                server.kill()
    wrong = subprocess.run(words, env={**os.environ, "NOTIFY_SOCKET": "nowhere"}, capture_output=True, text=True,
                           timeout=PATIENCE)
    assert wrong.returncode == 2 and "NOTIFY_SOCKET" in wrong.stderr, wrong


# --- Kubernetes: the manifest can be read, and what it asks of the server is there


def kubernetes(program):
    try:
        import yaml
    except ImportError:
        skip("there is no yaml module (python3-yaml)")
    manifest = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("apps/v1", "Deployment")
    template = manifest["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert manifest["spec"]["selector"]["matchLabels"].items() <= labels.items()
    pod, (container,) = template["spec"], template["spec"]["containers"]
    command = container["command"]
    assert command[0] == "http_server", command
    port = int(command[command.index("--port") + 1])
    assert container["ports"] == [{"containerPort": port}]
    # What preStop sleeps and the server's own deadline are within what the pod has.
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + 10 < pod["terminationGracePeriodSeconds"]
    probes = [container[each]["httpGet"] for each in ("startupProbe", "readinessProbe", "livenessProbe")]
    words = [program] + on_free_port(command)[1:]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            here = port_of(server)
            for probe in probes:
                assert probe["port"] == port, probe
                with urllib.request.urlopen(f"http://127.0.0.1:{here}{probe['path']}", timeout=PATIENCE) as answer:
                    assert answer.status == 200, probe
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()


def main():
    name, program = sys.argv[1:]
    globals()[name](program)
    print(f"{name}: as it should be")


main()
