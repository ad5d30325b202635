// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_BPF_HPP
#define CLUSTER_DETAIL_OS_LINUX_BPF_HPP

#include "../../../unique_fd.hpp"
#include "bpf_abi.hpp"
#include "fd.hpp"

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// bpf(2); the result, or -1 and errno.
template <typename Attributes>
long bpf(int command, Attributes attributes) noexcept {
    return retry([&] { return ::syscall(SYS_bpf, command, &attributes, sizeof attributes); });
}

inline std::uint64_t to_bpf(const void* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

/// A map, close-on-exec as all that bpf(2) makes; empty and `error` set on failure (EPERM without
/// CAP_BPF).
inline unique_fd make_map(std::uint32_t type,
                          std::uint32_t value_size,
                          std::uint32_t entries,
                          std::uint32_t flags,
                          std::error_code& error) noexcept {
    const bpf_abi::map_attributes wanted{type, sizeof(std::uint32_t), value_size, entries, flags};
    unique_fd made{static_cast<int>(bpf(bpf_abi::map_create, wanted))};
    error = made ? std::error_code{} : last_error();
    return made;
}

/// Sets the value of a key; false and errno.
inline bool set_in_map(int map, std::uint32_t key, const void* value) noexcept {
    bpf_abi::element_attributes element;
    element.map_fd = static_cast<std::uint32_t>(map);
    element.key = to_bpf(&key);
    element.value = to_bpf(value);
    return bpf(bpf_abi::map_update_elem, element) == 0;
}

/// Writes a program of the kernel's virtual machine, instruction by instruction. Registers: r0
/// result of calls, r1 to r5 arguments and lost by calls, r6 to r9 kept, r10 the frame
/// (Documentation/bpf/standardization/instruction-set.rst).
class bpf_text {
public:
    enum reg : std::uint8_t { r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 };
    struct label {
        std::size_t index;
    };

    [[nodiscard]] label new_label() {
        places_.push_back(unknown);
        return {places_.size() - 1};
    }
    void bind(label which) { places_[which.index] = static_cast<std::ptrdiff_t>(code_.size()); }

    void move(reg to, reg from) { emit(bpf_abi::alu64 | bpf_abi::mov | BPF_X, to, from, 0, 0); }
    void move(reg to, std::int32_t value) {
        emit(bpf_abi::alu64 | bpf_abi::mov | BPF_K, to, r0, 0, value);
    }
    void move32(reg to, reg from) { emit(BPF_ALU | bpf_abi::mov | BPF_X, to, from, 0, 0); }
    /// 32-bit arithmetic: BPF_ADD, BPF_SUB, BPF_MUL, BPF_XOR, BPF_RSH, BPF_MOD …
    void alu32(std::uint8_t operation, reg to, reg by) {
        emit(static_cast<std::uint8_t>(BPF_ALU | operation | BPF_X), to, by, 0, 0);
    }
    void alu32(std::uint8_t operation, reg to, std::uint32_t by) {
        emit(static_cast<std::uint8_t>(BPF_ALU | operation | BPF_K),
             to,
             r0,
             0,
             static_cast<std::int32_t>(by));
    }
    void alu64(std::uint8_t operation, reg to, reg by) {
        emit(static_cast<std::uint8_t>(bpf_abi::alu64 | operation | BPF_X), to, by, 0, 0);
    }
    void alu64(std::uint8_t operation, reg to, std::int32_t by) {
        emit(static_cast<std::uint8_t>(bpf_abi::alu64 | operation | BPF_K), to, r0, 0, by);
    }
    /// From the network's order of bytes.
    void big_endian32(reg which) {
        emit(BPF_ALU | bpf_abi::end | bpf_abi::to_be, which, r0, 0, 32);
    }
    void load32(reg to, reg from, std::size_t offset) {
        emit(BPF_LDX | BPF_MEM | BPF_W, to, from, static_cast<std::int16_t>(offset), 0);
    }
    void store32(reg to, std::ptrdiff_t offset, reg from) {
        emit(BPF_STX | BPF_MEM | BPF_W, to, from, static_cast<std::int16_t>(offset), 0);
    }
    void store32(reg to, std::ptrdiff_t offset, std::int32_t value) {
        emit(BPF_ST | BPF_MEM | BPF_W, to, r0, static_cast<std::int16_t>(offset), value);
    }
    /// Adds `from` in memory, atomically.
    void add_to32(reg to, std::size_t offset, reg from) {
        emit(BPF_STX | bpf_abi::atomic | BPF_W,
             to,
             from,
             static_cast<std::int16_t>(offset),
             BPF_ADD);
    }
    /// The same; `from` becomes what was there.
    void fetch_add32(reg to, std::size_t offset, reg from) {
        emit(BPF_STX | bpf_abi::atomic | BPF_W,
             to,
             from,
             static_cast<std::int16_t>(offset),
             BPF_ADD | bpf_abi::fetch);
    }
    void map(reg to, int descriptor) {
        emit(BPF_LD | bpf_abi::dw | BPF_IMM,
             to,
             static_cast<reg>(bpf_abi::pseudo_map_fd),
             0,
             descriptor);
        emit(0, r0, r0, 0, 0); // its upper half
    }
    void call(std::int32_t function) { emit(BPF_JMP | bpf_abi::call, r0, r0, 0, function); }
    void exit() { emit(BPF_JMP | bpf_abi::exit, r0, r0, 0, 0); }
    void jump(label to) { jump_by(BPF_JMP | BPF_JA, r0, r0, 0, to); }
    /// 64-bit comparison with a constant: BPF_JEQ, BPF_JGE, bpf_abi::jne, bpf_abi::jlt …
    void jump_if(std::uint8_t comparison, reg which, std::int32_t with, label to) {
        jump_by(static_cast<std::uint8_t>(BPF_JMP | comparison | BPF_K), which, r0, with, to);
    }
    /// 32-bit comparison of two registers.
    void jump_if32(std::uint8_t comparison, reg which, reg with, label to) {
        jump_by(static_cast<std::uint8_t>(bpf_abi::jmp32 | comparison | BPF_X), which, with, 0, to);
    }

    /// Gives it to the kernel, which proves that it ends and touches nothing else.
    unique_fd load(std::uint32_t type, std::uint32_t attach_type, std::error_code& error) {
        for (const auto& each : jumps_) {
            auto distance = places_[each.to] - static_cast<std::ptrdiff_t>(each.from) - 1;
            code_[each.from].off = static_cast<std::int16_t>(distance);
        }
        static constexpr char license[] = "Dual MIT/GPL";
        bpf_abi::program_attributes wanted;
        wanted.prog_type = type;
        wanted.insn_cnt = static_cast<std::uint32_t>(code_.size());
        wanted.insns = to_bpf(code_.data());
        wanted.license = to_bpf(license);
        wanted.expected_attach_type = attach_type;
        unique_fd loaded{static_cast<int>(bpf(bpf_abi::prog_load, wanted))};
        error = loaded ? std::error_code{} : last_error();
        return loaded;
    }

private:
    static constexpr std::ptrdiff_t unknown = -1;

    struct jump_to {
        std::size_t from;
        std::size_t to;
    };

    void emit(std::uint8_t code, reg to, reg from, std::int16_t offset, std::int32_t value) {
        bpf_abi::instruction one{};
        one.code = code;
        one.dst_reg = static_cast<std::uint8_t>(to & 0xfU);
        one.src_reg = static_cast<std::uint8_t>(from & 0xfU);
        one.off = offset;
        one.imm = value;
        code_.push_back(one);
    }
    void jump_by(std::uint8_t code, reg which, reg with, std::int32_t value, label to) {
        jumps_.push_back({code_.size(), to.index});
        emit(code, which, with, 0, value);
    }

    std::vector<bpf_abi::instruction> code_;
    std::vector<std::ptrdiff_t> places_; // of the labels
    std::vector<jump_to> jumps_;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_BPF_HPP
