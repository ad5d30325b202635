// SPDX-License-Identifier: MIT
#include <cluster/detail/os.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>

#include <linux/bpf.h>

namespace bpf_abi_test {

namespace ours = cluster::detail::os::bpf_abi;

static_assert(ours::map_create == BPF_MAP_CREATE);
static_assert(ours::map_update_elem == BPF_MAP_UPDATE_ELEM);
static_assert(ours::prog_load == BPF_PROG_LOAD);
static_assert(ours::map_type_array == BPF_MAP_TYPE_ARRAY);
static_assert(ours::map_type_reuseport_sockarray == BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
static_assert(ours::f_mmapable == BPF_F_MMAPABLE);
static_assert(ours::prog_type_sk_reuseport == BPF_PROG_TYPE_SK_REUSEPORT);
static_assert(ours::sk_reuseport_select_or_migrate == BPF_SK_REUSEPORT_SELECT_OR_MIGRATE);
static_assert(ours::func_map_lookup_elem == BPF_FUNC_map_lookup_elem);
static_assert(ours::func_skb_load_bytes_relative == BPF_FUNC_skb_load_bytes_relative);
static_assert(ours::func_sk_select_reuseport == BPF_FUNC_sk_select_reuseport);
static_assert(ours::hdr_start_net == BPF_HDR_START_NET);
static_assert(ours::sk_pass == SK_PASS);
static_assert(ours::jmp32 == BPF_JMP32);
static_assert(ours::alu64 == BPF_ALU64);
static_assert(ours::dw == BPF_DW);
static_assert(ours::atomic == BPF_ATOMIC);
static_assert(ours::mov == BPF_MOV);
static_assert(ours::end == BPF_END);
static_assert(ours::to_be == BPF_TO_BE);
static_assert(ours::jne == BPF_JNE);
static_assert(ours::jsge == BPF_JSGE);
static_assert(ours::call == BPF_CALL);
static_assert(ours::exit == BPF_EXIT);
static_assert(ours::jlt == BPF_JLT);
static_assert(ours::jle == BPF_JLE);
static_assert(ours::jsle == BPF_JSLE);
static_assert(ours::fetch == BPF_FETCH);
static_assert(ours::pseudo_map_fd == BPF_PSEUDO_MAP_FD);

static_assert(sizeof(ours::instruction) == sizeof(bpf_insn));
static_assert(offsetof(ours::instruction, off) == offsetof(bpf_insn, off));
static_assert(offsetof(ours::instruction, imm) == offsetof(bpf_insn, imm));

static_assert(offsetof(ours::map_attributes, map_type) == offsetof(bpf_attr, map_type));
static_assert(offsetof(ours::map_attributes, key_size) == offsetof(bpf_attr, key_size));
static_assert(offsetof(ours::map_attributes, value_size) == offsetof(bpf_attr, value_size));
static_assert(offsetof(ours::map_attributes, max_entries) == offsetof(bpf_attr, max_entries));
static_assert(offsetof(ours::map_attributes, map_flags) == offsetof(bpf_attr, map_flags));
static_assert(offsetof(ours::element_attributes, map_fd) == offsetof(bpf_attr, map_fd));
static_assert(offsetof(ours::element_attributes, key) == offsetof(bpf_attr, key));
static_assert(offsetof(ours::element_attributes, value) == offsetof(bpf_attr, value));
static_assert(offsetof(ours::element_attributes, flags) == offsetof(bpf_attr, flags));
static_assert(offsetof(ours::program_attributes, prog_type) == offsetof(bpf_attr, prog_type));
static_assert(offsetof(ours::program_attributes, insn_cnt) == offsetof(bpf_attr, insn_cnt));
static_assert(offsetof(ours::program_attributes, insns) == offsetof(bpf_attr, insns));
static_assert(offsetof(ours::program_attributes, license) == offsetof(bpf_attr, license));
static_assert(offsetof(ours::program_attributes, expected_attach_type) ==
              offsetof(bpf_attr, expected_attach_type));

static_assert(offsetof(ours::sk_reuseport_md, eth_protocol) ==
              offsetof(sk_reuseport_md, eth_protocol));
static_assert(offsetof(ours::sk_reuseport_md, hash) == offsetof(sk_reuseport_md, hash));

TEST_SUITE("os: bpf") {
    TEST_CASE("an instruction has its registers where the kernel looks for them") {
        ours::instruction one{0x12, 3, 4, 5, 6};
        bpf_insn theirs{};
        std::memcpy(&theirs, &one, sizeof theirs);
        CHECK(theirs.code == 0x12);
        CHECK(int{theirs.dst_reg} == 3);
        CHECK(int{theirs.src_reg} == 4);
        CHECK(theirs.off == 5);
        CHECK(theirs.imm == 6);
    }
}

} // namespace bpf_abi_test
