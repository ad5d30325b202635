# SPDX-License-Identifier: MIT
"""Building programs, finding those that are installed, and running those that print JSON."""

import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGEST = 300  # seconds that one program may take: a peer that hangs costs its own figure only
skipped = []  # the lines that say what was left out, for the JSON


def say(text):
    print(text, file=sys.stderr, flush=True)


def skip(what, why):
    line = f"{what}: skipped, {why}"
    if line not in skipped:
        skipped.append(line)
        say(line)


def where(program):
    """The path of a program, also of one that only root usually finds."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def apt(package, there):
    """Installs a Debian package, if we may. Whether `there()` holds then."""
    if there():
        return True
    if shutil.which("apt-get") and os.geteuid() == 0:
        say(f"installing {package}")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for arguments in (["install", "-y", package], ["update"], ["install", "-y", package]):
            subprocess.run(["apt-get", *arguments], check=False, **quiet)
            if there():
                return True
    return False


def tool(program, package):
    """Whether a program that we measure with is there; gets it if it can."""
    if apt(package, lambda: where(program)):
        return True
    say(f"{program} is missing: install the package {package}")
    return False


def peer(options, name, package, program=None, header=None):
    """Whether a peer is there; `--install` gets it if it can. A line says so if it is not."""
    def there():
        if program:
            return where(program) is not None
        return header_is_there(options.compiler, header)
    if there() or (options.install and package and apt(package, there)):
        return True
    skip(name, f"not installed (Debian: {package})" if package else
         "not installed (one header or a folder of them, to be found by CPATH)")
    return False


def node_peer(options, name, package):
    """The environment in which Node finds a package of npm, or None; `--install` gets it."""
    folder = options.build / "node"
    path = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(folder / "node_modules")]))
    environment = {**os.environ, "NODE_PATH": path}

    def there():
        command = ["node", "-e", f"require.resolve('{package}')"]
        return subprocess.run(command, env=environment, capture_output=True,
                              check=False).returncode == 0
    if not where("node"):
        skip(name, "Node.js is not installed (Debian: nodejs)")
    elif there():
        return environment
    elif options.install and where("npm"):
        say(f"installing {package}")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), package],
                       capture_output=True, check=False)
        if there():
            return environment
        skip(name, f"npm install {package} failed")
    else:
        skip(name, f"not installed (npm: {package}, found by NODE_PATH)")
    return None


def header_is_there(compiler, header):
    done = subprocess.run([compiler, "-E", "-x", "c++", "-"], input=f"#include <{header}>\n",
                          capture_output=True, text=True, check=False)
    return done.returncode == 0


@functools.cache
def newest_header(*folders):
    return max(path.stat().st_mtime for part in folders for path in (ROOT / part).rglob("*.hpp"))


@functools.cache
def build(source, name, folder, compiler, extra=()):
    """Compiles one file if it or a header is newer than the program. None if that fails."""
    source = ROOT / source
    program = folder / name
    headers = ("benchmarks",)
    if "limits" not in source.parts:  # those need nothing of the library
        headers += ("include", "examples/support", "tests/support")
    newest = max(source.stat().st_mtime, newest_header(*headers))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    folder.mkdir(parents=True, exist_ok=True)
    say(f"building {name}")
    command = [compiler, "-std=c++20", "-O2", "-DNDEBUG", "-pthread", f"-I{ROOT}/include"]
    if shutil.which("ccache"):
        command.insert(0, "ccache")
    done = subprocess.run([*command, str(source), *extra, "-o", str(program)],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        skip(name, f"does not build: {(lines or ['?'])[0]}")
        return None
    return program


def program(options, source, extra=()):
    """The program of benchmarks/<source>.cpp, or None."""
    return build(f"benchmarks/{source}.cpp", source.replace("/", "_"), options.build,
                 options.compiler, tuple(extra))


def limit(options, name):
    return program(options, f"limits/{name}")


def lines_of(*command, environment=None, longest=LONGEST):
    """The lines of JSON that a program prints; none, and a line that says why, if it fails."""
    words = [str(part) for part in command]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=environment, start_new_session=True)
    try:
        printed, complaint = child.communicate(timeout=longest)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # and those who hold its pipes
        printed, _ = child.communicate()
        complaint = f"killed, it took more than {longest} s"
    if child.returncode != 0:
        text = (complaint or printed).strip()[-300:]
        say(f"{' '.join(words)}: ended with {child.returncode}: {text}")
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def with_rounds(options, turns):
    """Calls all of `turns` in turn, as often as there are rounds."""
    for number in range(options.rounds):
        say(f"  round {number + 1} of {options.rounds}")
        for turn in turns:
            turn()
