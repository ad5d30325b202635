// SPDX-License-Identifier: MIT
// The least eBPF program that gives each listener of an SO_REUSEPORT group its turn. CAP_BPF.
#ifndef CLUSTER_BENCHMARKS_LIMITS_EVEN_STEERING_HPP
#define CLUSTER_BENCHMARKS_LIMITS_EVEN_STEERING_HPP

#include "checked.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <linux/bpf.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

inline int bpf(int command, bpf_attr& attributes) {
    return checked(static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes)),
                   "bpf");
}

inline int make_array(std::uint32_t type, std::uint32_t value_size, std::size_t entries) {
    bpf_attr map{};
    map.map_type = type;
    map.key_size = sizeof(std::uint32_t);
    map.value_size = value_size;
    map.max_entries = static_cast<std::uint32_t>(entries);
    return bpf(BPF_MAP_CREATE, map);
}

/// The listeners are of one address. What is attached stays as long as they do.
inline void take_turns(const std::vector<int>& listeners) {
    const auto count = static_cast<std::int32_t>(listeners.size());
    const int counter = make_array(BPF_MAP_TYPE_ARRAY, 4, 1);
    const int sockets = make_array(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 8, listeners.size());
    for (std::uint32_t i = 0; i != listeners.size(); ++i) {
        auto socket = static_cast<std::uint64_t>(listeners[i]);
        bpf_attr element{};
        element.map_fd = static_cast<std::uint32_t>(sockets);
        element.key = reinterpret_cast<std::uintptr_t>(&i);
        element.value = reinterpret_cast<std::uintptr_t>(&socket);
        bpf(BPF_MAP_UPDATE_ELEM, element);
    }
    constexpr std::int32_t key = -4;
    const std::array program{
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0},
        bpf_insn{BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, key, 0},
        bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, counter},
        bpf_insn{0, 0, 0, 0, 0},
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0},
        bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, key},
        bpf_insn{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem},
        bpf_insn{BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 11, 0},
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1},
        bpf_insn{BPF_STX | BPF_ATOMIC | BPF_W, BPF_REG_0, BPF_REG_1, 0, BPF_ADD | BPF_FETCH},
        bpf_insn{BPF_ALU | BPF_MOD | BPF_K, BPF_REG_1, 0, 0, count},
        bpf_insn{BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_1, key, 0},
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0},
        bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, sockets},
        bpf_insn{0, 0, 0, 0, 0},
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_10, 0, 0},
        bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, key},
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, 0}, // no flags
        bpf_insn{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_select_reuseport},
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, SK_PASS},
        bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    static constexpr char license[] = "MIT";
    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_SK_REUSEPORT;
    load.expected_attach_type = BPF_SK_REUSEPORT_SELECT;
    load.insns = reinterpret_cast<std::uintptr_t>(program.data());
    load.insn_cnt = program.size();
    load.license = reinterpret_cast<std::uintptr_t>(license);
    const int loaded = bpf(BPF_PROG_LOAD, load);
    checked(
        ::setsockopt(listeners[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &loaded, sizeof loaded),
        "SO_ATTACH_REUSEPORT_EBPF");
    for (const int fd : {counter, sockets, loaded}) {
        ::close(fd);
    }
}

#endif // CLUSTER_BENCHMARKS_LIMITS_EVEN_STEERING_HPP
