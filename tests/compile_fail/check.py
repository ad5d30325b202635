#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that must not compile, each with the sentence that its user must see.

    check.py compile FOLDER SOURCE... -- COMPILER [FLAG...]    all of them in one go; exits with 0
    check.py judge FOLDER SOURCE                               was it refused with its sentence?

Every source stands in a namespace of its own, behind what they all include: reading that is most of what
they cost. The first line of each is: // expect: <regular expression>
"""

import pathlib
import re
import subprocess
import sys


def unit_of(sources):
    """One translation unit of all the programs."""
    includes, bodies = [], []
    for source in sources:
        text = source.read_text()
        includes += re.findall(r"^#include .*$", text, re.MULTILINE)
        bodies.append(f'namespace {source.stem} {{\n#include "{source}"\n}}')
    return "\n".join(["#pragma GCC diagnostic ignored \"-Wmain\"", *sorted(set(includes)), *bodies]) + "\n"


def compile_all(folder, sources, command):
    folder.mkdir(parents=True, exist_ok=True)
    unit = folder / "all.cpp"
    unit.write_text(unit_of(sources))
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
    end = arguments.index("--")
    sources = [pathlib.Path(each) for each in arguments[2:end]]
    return compile_all(pathlib.Path(arguments[1]), sources, arguments[end + 1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
