#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that must not compile, each with the sentence that its user must see.

    check.py compile FOLDER UNIT COMPILER [FLAG...]    all of them in one go, by the file of cluster_unity()
    check.py judge FOLDER SOURCE                       was it refused with its sentence?

The first line of each is: // expect: <regular expression>
"""

import pathlib
import re
import subprocess
import sys


def compile_all(folder, unit, command):
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True)
    (folder / "output.txt").write_text(done.stderr)
    if done.returncode == 0:
        print(f"{unit} compiles, but must not")
        return 1
    if re.search(r"\bfatal error:|internal compiler error", done.stderr):
        print(done.stderr)
        return 1
    return 0


def errors_by_source(output):
    """{name of the source: what was said about it}. Clang names the place of instantiation behind an error,
    GCC before it."""
    result, current, waiting = {}, None, []
    clang = "in instantiation of" in output and "required from" not in output
    for line in output.splitlines():
        is_error = " error: " in line
        named = re.search(r"compile_fail/(\w+)\.cpp:\d", line)
        if clang and is_error:
            current, waiting = None, [line]
        elif is_error:
            waiting = [line]
        if named:
            current = named[1]
        if current and waiting:
            result.setdefault(current, []).extend(waiting)
            waiting = []
    return result


def judge(folder, source):
    expected = re.match(r"// expect: (.*)", source.read_text())
    if not expected:
        print(f"{source}: the first line must be: // expect: <regular expression>")
        return 1
    said = errors_by_source((folder / "output.txt").read_text()).get(source.stem, [])
    print("\n".join(said) or f"{source} compiles, but must not")
    if any(re.search(expected[1], line) for line in said):
        return 0
    print(f"expected: {expected[1]}")
    return 1


def main(arguments):
    if arguments[0] == "judge":
        return judge(pathlib.Path(arguments[1]), pathlib.Path(arguments[2]))
    return compile_all(pathlib.Path(arguments[1]), pathlib.Path(arguments[2]), arguments[3:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
