// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_CLASSIC_STEERING_HPP
#define CLUSTER_DETAIL_OS_LINUX_CLASSIC_STEERING_HPP

#include "../../client_score.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include <linux/filter.h>
#include <sys/socket.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Which socket of an SO_REUSEPORT group a client gets, by its address alone, as a classic BPF
/// filter, which needs no right. It has no memory: whenever a place goes on or off it is made anew.
class client_filter {
public:
    client_filter() {
        constexpr std::uint32_t net = static_cast<std::uint32_t>(SKF_NET_OFF);
        add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL));
        constexpr std::uint8_t words_of_ipv6 = 28; // instructions
        add(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 1, 0);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0x86dd, words_of_four_, words_of_four_ + words_of_ipv6 + 1);
        load_seed();
        fold(net + 12);
        add(BPF_JMP | BPF_JA, words_of_ipv6 + 1); // over the seed and the words
        load_seed();
        for (std::uint32_t at = 0; at != 16; at += 4) {
            fold(net + 8 + at);
        }
        add(BPF_ST, hash_at);
        add(BPF_LD | BPF_IMM, 0);
        add(BPF_ST, best_at);
        add(BPF_LD | BPF_IMM, none); // the kernel's own choice
        add(BPF_ST, index_at);
    }

    /// A place that may be chosen, by its socket's number in the group.
    void add_place(std::uint32_t index, std::uint32_t constant) {
        add(BPF_LD | BPF_MEM, hash_at);
        add(BPF_ALU | BPF_XOR | BPF_K, constant);
        fold_right(16);
        add(BPF_ALU | BPF_MUL | BPF_K, mix_factor_1);
        fold_right(13);
        add(BPF_ALU | BPF_MUL | BPF_K, mix_factor_2);
        fold_right(16);
        add(BPF_LDX | BPF_MEM, best_at);
        add(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 3);
        add(BPF_ST, best_at);
        add(BPF_LD | BPF_IMM, index);
        add(BPF_ST, index_at);
    }

    /// Once, behind the last place. False and errno; EINVAL beyond about 200 places.
    bool attach(int socket) {
        add(BPF_LD | BPF_MEM, index_at);
        add(BPF_RET | BPF_A, 0);
        sock_fprog program{static_cast<unsigned short>(code_.size()), code_.data()};
        return ::setsockopt(
                   socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
    }

private:
    static constexpr std::uint32_t hash_at = 0; // in the filter's memory
    static constexpr std::uint32_t best_at = 1;
    static constexpr std::uint32_t index_at = 2;
    static constexpr std::uint32_t none = 0xffffffff;
    static constexpr std::uint8_t words_of_four_ = 9;

    void add(int code, std::uint32_t value, int if_true = 0, int if_false = 0) {
        code_.push_back({static_cast<std::uint16_t>(code),
                         static_cast<std::uint8_t>(if_true),
                         static_cast<std::uint8_t>(if_false),
                         value});
    }
    void load_seed() { add(BPF_LD | BPF_IMM, client_seed); }
    // A ^= A >> by
    void fold_right(std::uint32_t by) {
        add(BPF_MISC | BPF_TAX, 0);
        add(BPF_ALU | BPF_RSH | BPF_K, by);
        add(BPF_ALU | BPF_XOR | BPF_X, 0);
    }
    // 7 instructions
    void fold(std::uint32_t offset) {
        add(BPF_MISC | BPF_TAX, 0);
        add(BPF_LD | BPF_W | BPF_ABS, offset);
        add(BPF_ALU | BPF_XOR | BPF_X, 0);
        add(BPF_ALU | BPF_MUL | BPF_K, mix_factor_1);
        fold_right(13);
    }

    std::vector<sock_filter> code_;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_CLASSIC_STEERING_HPP
