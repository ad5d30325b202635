# SPDX-License-Identifier: MIT
"""The command: its options, the groups one after the other, and what is written at the end."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import resource
import signal
import sys
import tempfile

from . import charts, processes, readme, text, tools
from .groups import GROUPS
from .model import Section
from .tools import ROOT

DESCRIPTION = """Ours beside the raw limit and the peers that are installed, interleaved, as ratios.

Groups (default: all):
"""

EPILOG = """A program that is not installed, does not build or does not start is skipped, and a line says
why. Rates are bound by the machine and by the load generator beside the servers; the figure to trust is
CPU time per operation, and of that the ratios, whose two sides took turns."""

MODELS = ["reuse_port", "round_robin_kernel", "least_loaded_kernel", "sticky_kernel",
          "shared_socket", "round_robin", "least_connections", "power_of_two",
          "weighted_round_robin", "random", "sticky", "sticky_modulo"]


def words(text_of_option):
    return text_of_option.split(",")


def numbers(text_of_option):
    return [int(word) for word in words(text_of_option)]


def parser():
    groups = "".join(f"  {name:10} {' '.join(group.__doc__.split())}\n"
                     for name, group in GROUPS.items())
    result = argparse.ArgumentParser(
        prog="benchmarks/run", description=DESCRIPTION + groups, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("groups", nargs="*", metavar="GROUP")
    add("--rounds", type=int, default=5, help="interleaved rounds (5)")
    add("--seconds", type=int, default=3, help="seconds per sample (3)")
    add("--connections", type=numbers, default=[64, 256], metavar="N,...",
        help="HTTP connections of http; other groups take the first (64,256)")
    add("--workers", type=int, default=2, help="workers of http, short and cost (2)")
    add("--scheduling", type=words, default=MODELS, metavar="MODEL,...",
        help="our models for fairness, short and cost (all)")
    add("--only", type=words, metavar="SERVER,...",
        help="of the servers only these, as they are named in the tables")
    add("--reloads", type=int, default=20, help="of the group reload, each model (20)")
    add("--install", action="store_true",
        help="install the peers' packages, too (as root, by apt-get)")
    add("--build", type=pathlib.Path, default=ROOT / "build" / "benchmarks", metavar="FOLDER")
    add("--compiler", default=os.environ.get("CXX", "g++"))
    add("--server", type=pathlib.Path, help="a built example_http_server")
    add("--from", type=pathlib.Path, dest="earlier", metavar="FILE",
        help="start with the results of an earlier --json; only the named groups are measured")
    add("--json", type=pathlib.Path, metavar="FILE", help="write the results")
    add("--charts", type=pathlib.Path, metavar="FOLDER", help="write an SVG for each group")
    add("--readme", action="store_true", help="write README.md's table")
    return result


def parse(arguments):
    command = parser()
    options = command.parse_args(arguments)
    if unknown := set(options.groups) - set(GROUPS):
        command.error(f"no such group: {', '.join(sorted(unknown))} (there are "
                      f"{', '.join(GROUPS)})")
    if min(options.rounds, options.seconds, options.reloads, *options.connections) < 1:
        command.error("--rounds, --seconds, --reloads and --connections are at least 1")
    return options


def machine():
    model = platform.processor()
    try:
        model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        pass
    now = datetime.datetime.now(datetime.timezone.utc)
    system = ".".join(platform.release().split(".")[:2])
    return {"cpus": os.cpu_count(), "model": model, "system": system,
            "time": now.isoformat(timespec="seconds")}


def read(path):
    """The machine, the command and the groups of an earlier run."""
    data = json.loads(path.read_text())
    groups = {name: [Section.from_json(each) for each in sections]
              for name, sections in data["groups"].items()}
    return data["machine"], data["command"], groups


def measure(options, chosen):
    """The groups' sections, printed as they come."""
    if not tools.tool(options.compiler, "g++"):
        return {}
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped below
    processes.become_subreaper()
    result = {}
    with tempfile.TemporaryDirectory() as options.scratch:
        try:
            for name in chosen:
                tools.say(f"{name} …")
                result[name] = [each for each in GROUPS[name](options) if each.rows]
                print(text.render(result[name]), flush=True)
                processes.sweep()
        finally:
            processes.sweep()
    return result


def write(options, described, groups, command):
    if options.json:
        data = {"machine": described, "command": command, "skipped": tools.skipped,
                "groups": {name: [each.to_json() for each in sections]
                           for name, sections in groups.items()}}
        options.json.write_text(json.dumps(data, indent=1) + "\n")
    if options.charts:
        charts.write(groups, options.charts)
    if options.readme:
        page = ROOT / "README.md"
        page.write_text(readme.replace(page.read_text(), readme.render(groups, described,
                                                                       command)))


def how(words_given):
    """Those of the arguments that say how it was measured, and not where the results go."""
    result, into_file = [], False
    for word in words_given:
        name = word.partition("=")[0]
        if not into_file and name not in ("--json", "--charts", "--from", "--build", "--readme"):
            result.append(word)
        into_file = word in ("--json", "--charts", "--from", "--build")
    return result


def main(arguments=None):
    options = parse(arguments)
    described, groups = machine(), {}
    command = " ".join(["benchmarks/run", *how(sys.argv[1:] if arguments is None else arguments)])
    if options.earlier:
        described, command, groups = read(options.earlier)
    print(f"{described['cpus']} CPUs, {described['model']}, Linux {described['system']}, "
          f"{described['time']}; {options.rounds} rounds of {options.seconds} s, medians")
    if options.earlier and not options.groups:
        for sections in groups.values():
            print(text.render(sections))
    else:
        groups |= measure(options, options.groups or list(GROUPS))
    write(options, described, {name: groups[name] for name in GROUPS if groups.get(name)}, command)
    return 0
