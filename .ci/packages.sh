# shellcheck shell=bash
# Sourced by the scripts that others run: finds what is missing, installs it where that is possible.
# Everything that it says goes to stderr.

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

missing=()

# need <command or file> <Debian package>: notes the package if the command or the file is not there.
need() {
    case $1 in
        /*) [ -e "$1" ] || missing+=("$2") ;;
        *) command -v "$1" >/dev/null 2>&1 || missing+=("$2") ;;
    esac
}

# apt <package>...: installs, with a fresh list of packages only where the old one does not do.
apt() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || return 1
        as_root=(sudo)
        [ -t 0 ] || as_root+=(-n) # nobody is there to type a password
    fi
    local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    local install=("${get[@]}" install -y --no-install-recommends "$@")
    say "installing by apt-get: $*"
    if ! "${install[@]}" </dev/null >/dev/null 2>&1; then
        "${get[@]}" update </dev/null >&2 # one broken source among many need not matter
        "${install[@]}" </dev/null >&2
    fi
}

# install_missing: installs the packages that `need` noted, or names them and ends.
install_missing() {
    [ "${#missing[@]}" -ne 0 ] || return 0
    if command -v apt-get >/dev/null 2>&1; then
        apt "${missing[@]}" || die "could not install; please install these packages: ${missing[*]}"
    else
        die "please install what these Debian packages hold, by the names that your system has for them: ${missing[*]}"
    fi
    missing=()
}

# compiler_is_new_enough <compiler>: GCC 12 or Clang 16, the oldest that the library is tested with.
compiler_is_new_enough() {
    local major
    command -v "$1" >/dev/null 2>&1 || return 1
    major=$("$1" -dumpversion 2>/dev/null) || return 1
    major=${major%%.*}
    if "$1" --version 2>/dev/null | grep -qi clang; then
        [ "$major" -ge 16 ]
    else
        [ "$major" -ge 12 ]
    fi
}

# first_compiler <compiler>...: the first one that is new enough.
first_compiler() {
    local each
    for each in "$@"; do
        if compiler_is_new_enough "$each"; then
            printf '%s\n' "$each"
            return 0
        fi
    done
    return 1
}

# choose_compiler: sets and exports CXX, installs a compiler if there is none.
choose_compiler() {
    local candidates=(g++ g++-14 g++-13 g++-12 clang++ clang++-19 clang++-18 clang++-17 clang++-16)
    if [ -n "${CXX:-}" ]; then
        compiler_is_new_enough "$CXX" || die "CXX=$CXX is not there or too old: GCC 12 or Clang 16 at least"
    elif ! CXX=$(first_compiler "${candidates[@]}"); then
        command -v apt-get >/dev/null 2>&1 || die "please install a C++20 compiler: GCC 12 or Clang 16 at least"
        apt g++ || die "could not install g++"
        CXX=$(first_compiler "${candidates[@]}") || { apt g++-12 && CXX=$(first_compiler "${candidates[@]}"); } ||
            die "please install a C++20 compiler: GCC 12 or Clang 16 at least"
    fi
    export CXX
}
