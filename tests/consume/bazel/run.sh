#!/usr/bin/env bash
# run.sh <project> <build folder>: a Bazel workspace that takes the library from a folder. The rules that Bazel would
# download are Debian's, where those are installed.
set -eu
if ! command -v bazel >/dev/null; then
    echo "skipped: bazel is not installed"
    exit 77
fi

rm -rf "$2/workspace" "$2/rules"
mkdir -p "$2/workspace" "$2/rules"
cp "$1/tests/consume/bazel/BUILD" "$1/tests/consume/small.cpp" "$1/.bazel/basic_cluster.BUILD" "$2/workspace"
cat >"$2/workspace/WORKSPACE" <<END
new_local_repository(name = "basic_cluster", path = "$1", build_file = "//:basic_cluster.BUILD")
END

rules=()
for language in cc java proto; do
    [ -e "/usr/share/bazel/rules/$language" ] || continue
    cp -R "/usr/share/bazel/rules/$language" "$2/rules"
    rules+=("--override_repository=rules_$language=$2/rules/$language")
done
# Those of Debian 12 use a function that its Bazel does not have yet.
find "$2/rules" -name '*.bzl' -exec sed -i '/^load/s/, "use_cpp_toolchain"//
    s|use_cpp_toolchain()|["@bazel_tools//tools/cpp:toolchain_type"]|' {} +

cd "$2/workspace"
CC=$CXX bazel --batch --output_user_root="$2/output" build --nosandbox_debug ${rules[@]+"${rules[@]}"} --cxxopt=-std=c++20 //:consumer
bazel-bin/consumer
