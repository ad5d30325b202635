// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_BPF_ABI_HPP
#define CLUSTER_DETAIL_OS_LINUX_BPF_ABI_HPP

/// \file
/// What the library needs of `<linux/bpf.h>`, all of which would be 1,700 lines of the umbrella
/// header. The kernel keeps these numbers for ever; tests/detail/os/bpf_abi.cpp compares each with
/// the system's. Named as there, without "BPF_", which are macros.

#include <cstdint>

#include <linux/bpf_common.h>

namespace cluster {
inline namespace v0 {
namespace detail::os::bpf_abi {

// Commands of bpf(2).
inline constexpr int map_create = 0;
inline constexpr int map_update_elem = 2;
inline constexpr int prog_load = 5;

inline constexpr std::uint32_t map_type_array = 2;
inline constexpr std::uint32_t map_type_reuseport_sockarray = 20;
inline constexpr std::uint32_t f_mmapable = 1U << 10;

inline constexpr std::uint32_t prog_type_sk_reuseport = 21;
inline constexpr std::uint32_t sk_reuseport_select_or_migrate = 40;

// Functions that a program may call, and an argument of the second.
inline constexpr std::int32_t func_map_lookup_elem = 1;
inline constexpr std::int32_t func_skb_load_bytes_relative = 68;
inline constexpr std::int32_t func_sk_select_reuseport = 82;
inline constexpr std::int32_t hdr_start_net = 1;
// What a program returns.
inline constexpr std::int32_t sk_pass = 1; // SK_PASS

// Parts of instructions that the classic machine, <linux/bpf_common.h>, has not.
inline constexpr std::uint8_t jmp32 = 0x06;
inline constexpr std::uint8_t alu64 = 0x07;
inline constexpr std::uint8_t dw = 0x18;
inline constexpr std::uint8_t atomic = 0xc0; // its predecessor is BPF_XADD
inline constexpr std::uint8_t mov = 0xb0;
inline constexpr std::uint8_t end = 0xd0;
inline constexpr std::uint8_t to_be = 0x08;
inline constexpr std::uint8_t jne = 0x50;
inline constexpr std::uint8_t jsge = 0x70;
inline constexpr std::uint8_t call = 0x80;
inline constexpr std::uint8_t exit = 0x90;
inline constexpr std::uint8_t jlt = 0xa0;
inline constexpr std::uint8_t jle = 0xb0;
inline constexpr std::uint8_t jsle = 0xd0;
inline constexpr std::int32_t fetch = 0x01;
inline constexpr std::uint8_t pseudo_map_fd = 1; // as the source register

struct instruction { // bpf_insn
    std::uint8_t code;
    std::uint8_t dst_reg : 4;
    std::uint8_t src_reg : 4;
    std::int16_t off;
    std::int32_t imm;
};

// The members of the union bpf_attr, as far as they are used: the kernel takes the rest for zero.
struct map_attributes {
    std::uint32_t map_type = 0;
    std::uint32_t key_size = 0;
    std::uint32_t value_size = 0;
    std::uint32_t max_entries = 0;
    std::uint32_t map_flags = 0;
};
struct element_attributes {
    std::uint32_t map_fd = 0;
    std::uint32_t padding = 0;
    std::uint64_t key = 0;
    std::uint64_t value = 0;
    std::uint64_t flags = 0;
};
struct program_attributes {
    std::uint32_t prog_type = 0;
    std::uint32_t insn_cnt = 0;
    std::uint64_t insns = 0;
    std::uint64_t license = 0;
    std::uint32_t log_level = 0;
    std::uint32_t log_size = 0;
    std::uint64_t log_buf = 0;
    std::uint32_t kern_version = 0;
    std::uint32_t prog_flags = 0;
    char prog_name[16] = {};
    std::uint32_t prog_ifindex = 0;
    std::uint32_t expected_attach_type = 0;
};

// Where a program of this type finds things in its context.
struct sk_reuseport_md {
    std::uint64_t data;
    std::uint64_t data_end;
    std::uint32_t len;
    std::uint32_t eth_protocol;
    std::uint32_t ip_protocol;
    std::uint32_t bind_inany;
    std::uint32_t hash;
};

} // namespace detail::os::bpf_abi
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_BPF_ABI_HPP
