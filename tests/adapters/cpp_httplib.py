#!/usr/bin/env python3
"""examples/adapters/cpp_httplib.cpp under clients while its workers die."""
import killed_workers


def with_curl(server):
    answer = killed_workers.curl(server.port)
    assert answer is None or answer.startswith("Hello from worker "), answer


killed_workers.drive(killed_workers.get_once, with_curl)
