#!/usr/bin/env bash
# run.sh direct|examples|cmake <project> <build folder>, with Clang 19 or newer:
#   direct      a program that imports the module
#   examples    every example compiles with `import cluster;` in place of the header
#   cmake       the program again, by CMake and its target cluster::module
set -eu
how=$1 project=$2 out=$3
skip() {
    echo "skipped: $1"
    exit 77
}

for version in 22 21 20 19 none; do
    clang=$(command -v "clang++-$version") && break
done
[ -n "$clang" ] || skip "there is no clang++ of version 19 or newer"
flags=(-std=c++20 -pthread -Wall -Wextra -Wpedantic -Werror -fmodule-file=cluster="$out/cluster.pcm")

compile_module() { "$clang" "${flags[@]:0:6}" --precompile "$project/include/cluster.cppm" -o "$out/cluster.pcm"; }

direct() {
    compile_module
    "$clang" "${flags[@]}" "$project/tests/consume/module/main.cpp" "$out/cluster.pcm" -o "$out/consumer"
    "$out/consumer"
}

examples() {
    local source copy lean_on=(-include future -include span) # what some examples have from the header
    compile_module
    for source in "$project"/examples/*.cpp; do
        grep -q '<asio\.hpp>' "$source" && continue # of another library
        copy=$out/$(basename "$source")
        echo "$copy"
        { sed -n '/^#include <cluster/d; /^#include/p' "$source" && echo 'import cluster;' &&
            sed '/^#include/d' "$source"; } >"$copy"
        "$clang" "${flags[@]}" -I"$project/include" -I"$project/examples/support" "${lean_on[@]}" -fsyntax-only "$copy"
    done
}

by_cmake() {
    local have configure=(cmake -G Ninja -S "$project/tests/consume/module" -B "$out/build" -DCLUSTER_SOURCE="$project"
        -DCMAKE_CXX_COMPILER="$clang")
    command -v ninja >/dev/null || skip "ninja is not installed"
    have=$(cmake --version | sed -n '1s/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
    if [ "$(printf '3.28\n%s\n' "$have" | sort -V | head -n 1)" != 3.28 ]; then
        if "${configure[@]}" >"$out/refused" 2>&1 || ! grep 'needs CMake 3.28 or newer' "$out/refused"; then
            cat "$out/refused" && exit 1
        fi
        skip "CMake $have is too old for modules, and was told so"
    fi
    command -v "clang-scan-deps-$version" >/dev/null || skip "clang-scan-deps-$version (clang-tools-$version) is not installed"
    "${configure[@]}"
    cmake --build "$out/build"
    "$out/build/consumer"
}

mkdir -p "$out"
case $how in
    direct) direct ;;
    examples) examples ;;
    cmake) by_cmake ;;
esac
