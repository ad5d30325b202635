# SPDX-License-Identifier: MIT
"""Python's ProcessPoolExecutor on empty tasks, two workers: one line of JSON each."""
import concurrent.futures
import json
import resource
import time


def twice(n):
    return 2 * n


def cpu():
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(name, total, body):
    before = cpu()
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        pool.submit(twice, 1).result()
        begin = time.perf_counter()
        body(pool)
        seconds = time.perf_counter() - begin
    print(json.dumps({"pool": f"Python ProcessPoolExecutor {name}", "per_second": total / seconds,
                      "cpu_ns": (cpu() - before) / total * 1e9}))


def futures(pool):
    for each in [pool.submit(twice, 1) for _ in range(5000)]:
        each.result()


if __name__ == "__main__":
    measure("futures", 5000, futures)
    measure("map", 100_000, lambda pool: list(pool.map(twice, [1] * 100_000, chunksize=100)))
