# SPDX-License-Identifier: MIT
"""One module for each group, or for a few that have much in common.

A group is a function of the options that returns its sections; its docstring is what --help says.
"""

from . import (broadcast, compile_time, connections, cost, http, memory, messages, micro, pools,
               recovery, reload, scale, spawn, syscalls)

GROUPS = {
    "http": http.keep_alive,
    "short": http.short,
    "cost": cost.cost,
    "blocked": http.blocked,
    "fairness": connections.fairness,
    "syscalls": syscalls.syscalls,
    "messages": messages.messages,
    "broadcast": broadcast.broadcast,
    "spawn": spawn.spawn,
    "recovery": recovery.recovery,
    "reload": reload.reload,
    "memory": memory.memory,
    "scale": scale.scale,
    "pools": pools.pools,
    "micro": micro.micro,
    "include": compile_time.include,
}
