#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the API reference by Doxygen and fails for what it complains about: api.py FOLDER [DOXYGEN]

It stands in FOLDER/html. What is not documented is a complaint, too, unless its name says all (SAYS_ALL), its
policy's concept does (TOLD_BY_CONCEPT), or it is the second of a pair (PAIRS), the overload with an error, a constructor or
an operator; or an event, which stands in the table of event.hpp.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLD_BY_CONCEPT = set('''
    accepts_in can_decode can_encode decide decode encode launch name needs_address passes_objects peeks pick
    separate_memory starts_at_main steering waits_for_one
    dispatch native_handle node on_event publish publish_to subscribe subscription traits
'''.split())
SAYS_ALL = set('''
    active address begin bytes cancel cancelled capacity code contains count data empty end family has_value id
    is_connected is_descriptor is_file is_listening is_open is_worker local loop message milliseconds payload pid port
    received registry remote requests responder restarts sent set signal size slot stats text timed_out uptime valid
    value value_or worker workers write
    connections_accepted connections_refused datagrams datagrams_received datagrams_sent listeners messages_received
    messages_sent reloads_failed slots
    difference_type iterator iterator_category key_type mapped_type pointer reference value_type
    group hard host limits no_new_privileges password soft standard_error standard_output umask user username
'''.split())
# The second of a pair: what stands at the first is true of both.
PAIRS = set('''
    appends backend broadcast_to leave_group on_error_output on_message on_request once ref restart resume unref
'''.split())


def complaints(text):
    """Doxygen's, but for what need not be documented; several of one place count once."""
    seen = set()
    for line in text.splitlines():
        member = re.search(r'Member (.*) \(\w+\) of \w+ (\S+?)(?:<.*)? is not documented', line)
        silent = may_be_silent(member[1], member[2]) if member else 'Compound cluster::v0::bus_node::replies' in line
        if line.strip() and line not in seen and not silent:
            seen.add(line)
            yield line


def may_be_silent(member, owner):
    name = re.match(r'operator\b|~?\w+', member)[0]
    return (name == 'operator' or name == owner.rsplit('::', 1)[-1] or name.endswith(('_type', '_'))
            or owner.endswith('::event') or 'std::error_code &error)' in member
            or name in SAYS_ALL | PAIRS | TOLD_BY_CONCEPT)


def main(folder, doxygen='doxygen'):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    options = (ROOT / '.github/Doxyfile').read_text(encoding='utf-8')
    options += f'\nOUTPUT_DIRECTORY = {folder}\nWARN_IF_UNDOCUMENTED = YES\nWARN_AS_ERROR = NO\n'
    done = subprocess.run([doxygen, '-'], input=options, capture_output=True, text=True, cwd=ROOT)
    found = [*complaints(done.stderr)]
    print(*found, sep='\n', end='\n' if found else '')
    return 1 if found or done.returncode != 0 else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
