// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_STEERING_HPP
#define CLUSTER_DETAIL_OS_LINUX_STEERING_HPP

#include "../../../unique_fd.hpp"
#include "bpf.hpp"
#include "classic_steering.hpp"
#include "memory.hpp"
#include "socket.hpp"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/socket.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// By what the kernel chooses among the listening sockets of one address.
enum class steer_by : std::uint8_t { turns, load, client };

/// The most places that can be steered to.
inline constexpr std::uint32_t steered_places = 1024;

/// What the load of a place is known by: what the kernel has sent there less what is gone again. So
/// it is what waits in its queue and what its workers have open, and a worker stores here but once
/// for a connection: each store takes the page from the processor that chooses. A worker that lies
/// hurts the distribution, nothing else.
struct steering_load {
    struct place {
        std::atomic<std::uint32_t> picked{0}; // the kernel's
        std::atomic<std::uint32_t> gone{0};   // ended, or accepted by another place's worker

        [[nodiscard]] std::uint32_t load() const noexcept { return picked.load() - gone.load(); }
    };
    place places[steered_places];
    struct alignas(64) {                     // not the kernel's
        std::atomic<std::uint32_t> count{0}; // from this place's socket, by whomever
    } accepted[steered_places];
};

/// What only the primary and the kernel write.
struct steering_control {
    struct place {
        std::atomic<std::uint32_t> off{0};
        std::uint32_t constant = 0; // of the place, for its score
    };
    std::atomic<std::uint32_t> next{0};
    std::uint32_t unused = 0;
    place places[steered_places];
};

/// The programs that choose, for places 0 to `count` - 1. BPF_PROG_TYPE_SK_REUSEPORT, by hand.
class steering_program : private bpf_text {
public:
    steering_program(int control, int load, int sockets, std::uint32_t count)
        : control_{control}, load_{load}, sockets_{sockets}, count_{count} {}

    unique_fd make(steer_by what, std::error_code& error) {
        move(r6, r1); // the context
        look_up(r7, control_);
        switch (what) {
        case steer_by::turns:
            choose_next();
            break;
        case steer_by::load:
            look_up(r9, load_);
            choose_least_loaded();
            break;
        case steer_by::client:
            choose_by_client();
            break;
        }
        select(what == steer_by::load);
        // Whoever leaves the choice to the kernel gets its hash.
        bind(leave_);
        move(r0, bpf_abi::sk_pass);
        exit();
        return bpf_text::load(
            bpf_abi::prog_type_sk_reuseport, bpf_abi::sk_reuseport_select_or_migrate, error);
    }

private:
    static constexpr std::ptrdiff_t key_at = -4;
    static constexpr std::size_t off_at = offsetof(steering_control, places);
    static constexpr std::size_t constant_at = off_at + sizeof(std::uint32_t);

    // The only value of an array.
    void look_up(reg to, int array) {
        store32(r10, key_at, 0);
        map(r1, array);
        move(r2, r10);
        alu64(BPF_ADD, r2, static_cast<std::int32_t>(key_at));
        call(bpf_abi::func_map_lookup_elem);
        jump_if(BPF_JEQ, r0, 0, leave_);
        move(to, r0);
    }

    // Emits `body` once: a loop of the kernel over all places, the place in r0. What the registers
    // hold must look the same to the verifier on every way round, or its work grows with the square
    // of the number of places: no way through the body may leave the number of a place behind.
    template <typename F>
    void for_each_place(F body) {
        label again = new_label();
        move(r0, 0);
        bind(again);
        body();
        alu64(BPF_ADD, r0, 1);
        jump_if(bpf_abi::jlt, r0, static_cast<std::int32_t>(count_), again);
    }
    // A number that grows by one each time.
    void take_turn(reg into) {
        move(into, 1);
        fetch_add32(r7, offsetof(steering_control, next), into);
    }
    // r4: the primary's words on the place in r0.
    void point_to_control() {
        move(r4, r0);
        alu64(BPF_LSH, r4, 3);
        alu64(BPF_ADD, r4, r7);
    }
    // r5: 1 when the place in r0 may be chosen, else 0.
    void load_on() {
        point_to_control();
        load32(r5, r4, off_at);
        alu32(BPF_AND, r5, 1U);
        alu32(BPF_XOR, r5, 1U);
    }

    // Of the places that are on, the one whose turn it is.
    void choose_next() {
        label found = new_label();
        take_turn(r8);
        move(r1, 0);
        for_each_place([&] {
            load_on();
            alu64(BPF_ADD, r1, r5);
        });
        jump_if(BPF_JEQ, r1, 0, leave_);
        alu32(BPF_MOD, r8, r1);
        for_each_place([&] {
            load_on();
            move(r3, r8); // 2 * r8 + (off): zero at the one
            alu64(BPF_LSH, r3, 1);
            alu64(BPF_ADD, r3, 1);
            alu64(BPF_SUB, r3, r5);
            jump_if(BPF_JEQ, r3, 0, found);
            alu64(BPF_SUB, r8, r5);
        });
        jump(leave_);
        bind(found);
        move(r8, r0);
    }

    // w5: the load of the place in r0, or the way to `off`.
    void load_of_place(label off) {
        load_on();
        jump_if(BPF_JEQ, r5, 0, off);
        move(r4, r0);
        alu64(BPF_LSH, r4, 3);
        alu64(BPF_ADD, r4, r9);
        load32(r5, r4, offsetof(steering_load::place, picked));
        load32(r3, r4, offsetof(steering_load::place, gone));
        alu32(BPF_SUB, r5, r3);
    }

    // The least load, then the first place that has it, beginning with another one each time.
    void choose_least_loaded() {
        label again = new_label();
        label found = new_label();
        label dearer = new_label();
        move(r2, 0x7fffffff);
        for_each_place([&] {
            label next = new_label();
            load_of_place(next);
            jump_if32(bpf_abi::jsge, r5, r2, next);
            move32(r2, r5);
            bind(next);
        });
        take_turn(r0);
        move(r1, 0);
        bind(again);
        alu32(BPF_MOD, r0, count_);
        jump_if(BPF_JGE, r0, static_cast<std::int32_t>(count_), leave_); // for the verifier
        load_of_place(dearer);
        jump_if32(bpf_abi::jsle, r5, r2, found);
        bind(dearer);
        alu64(BPF_ADD, r0, 1);
        alu64(BPF_ADD, r1, 1);
        jump_if(bpf_abi::jlt, r1, static_cast<std::int32_t>(count_), again);
        jump(leave_); // all are off, or their loads have grown meanwhile
        bind(found);
        move(r8, r0);
    }

    // w5: the score of the place in r0 for the client whose hash is in r9, or the way to `off`.
    void score_of_place(label off) {
        load_on();
        jump_if(BPF_JEQ, r5, 0, off);
        load32(r5, r4, constant_at);
        alu32(BPF_XOR, r5, r9);
        finish_mix(r5, r3);
    }

    // The best score, then the place that has it.
    void choose_by_client() {
        label found = new_label();
        hash_client();
        move(r2, 0);
        for_each_place([&] {
            label next = new_label();
            score_of_place(next);
            jump_if32(bpf_abi::jle, r5, r2, next);
            move32(r2, r5);
            bind(next);
        });
        for_each_place([&] {
            label next = new_label();
            score_of_place(next);
            jump_if32(BPF_JEQ, r5, r2, found);
            bind(next);
        });
        jump(leave_);
        bind(found);
        move(r8, r0);
    }

    // The words of the source address, folded; the kernel's own hash where there is no packet (a
    // connection that moves because its listener was closed).
    void hash_client() {
        constexpr std::ptrdiff_t bytes_at = -24;
        constexpr std::int32_t ipv4 = 0x0008; // ETH_P_IP in the order of the network
        constexpr std::int32_t ipv6 = 0xdd86;
        label six = new_label();
        label other = new_label();
        label done = new_label();
        auto load_bytes = [&](std::int32_t offset, std::int32_t size) {
            move(r1, r6);
            move(r2, offset);
            move(r3, r10);
            alu64(BPF_ADD, r3, static_cast<std::int32_t>(bytes_at));
            move(r4, size);
            move(r5, bpf_abi::hdr_start_net);
            call(bpf_abi::func_skb_load_bytes_relative);
            jump_if(bpf_abi::jne, r0, 0, other);
            for (std::int32_t at = 0; at != size; at += 4) {
                load_stack32(r1, bytes_at + at);
                big_endian32(r1);
                alu32(BPF_XOR, r9, r1);
                alu32(BPF_MUL, r9, mix_factor_1);
                move32(r1, r9);
                alu32(BPF_RSH, r1, 13U);
                alu32(BPF_XOR, r9, r1);
            }
        };
        move(r9, static_cast<std::int32_t>(client_seed));
        load32(r1, r6, offsetof(bpf_abi::sk_reuseport_md, eth_protocol));
        jump_if(BPF_JEQ, r1, ipv6, six);
        jump_if(bpf_abi::jne, r1, ipv4, other);
        load_bytes(12, 4);
        jump(done);
        bind(six);
        load_bytes(8, 16);
        jump(done);
        bind(other);
        load32(r9, r6, offsetof(bpf_abi::sk_reuseport_md, hash));
        bind(done);
    }
    void load_stack32(reg to, std::ptrdiff_t offset) {
        move(r2, r10);
        alu64(BPF_ADD, r2, static_cast<std::int32_t>(offset));
        load32(to, r2, 0);
    }
    void finish_mix(reg which, reg scratch) {
        auto shift = [&](std::uint32_t by) {
            move32(scratch, which);
            alu32(BPF_RSH, scratch, by);
            alu32(BPF_XOR, which, scratch);
        };
        shift(16);
        alu32(BPF_MUL, which, mix_factor_1);
        shift(13);
        alu32(BPF_MUL, which, mix_factor_2);
        shift(16);
    }

    // The socket of the place in r8.
    void select(bool counts) {
        store32(r10, key_at, r8);
        move(r1, r6);
        map(r2, sockets_);
        move(r3, r10);
        alu64(BPF_ADD, r3, static_cast<std::int32_t>(key_at));
        move(r4, 0);
        call(bpf_abi::func_sk_select_reuseport);
        if (counts) {
            jump_if(bpf_abi::jne, r0, 0, leave_);
            alu64(BPF_LSH, r8, 3);
            alu64(BPF_ADD, r8, r9);
            move(r1, 1);
            add_to32(r8, offsetof(steering_load::place, picked), r1);
        }
    }

    int control_;
    int load_;
    int sockets_;
    std::uint32_t count_;
    label leave_ = new_label();
};

/// What a listener asks of its steering: by virtual functions, so that programs whose policy steers
/// nothing have none of it.
class socket_steering {
public:
    socket_steering() = default;
    socket_steering(socket_steering&&) = delete;
    socket_steering& operator=(socket_steering&&) = delete;
    virtual ~socket_steering() = default;

    /// Whether only a classic filter chooses, and why: it knows no load, and a socket that is
    /// closed resets who waits there.
    [[nodiscard]] virtual std::error_code why_classic() const noexcept = 0;
    /// Clients may be sent to this socket, which listens, once turn_off(place, false) says so. The
    /// group's sockets are added in the order in which they were bound.
    virtual std::error_code add(std::uint32_t place, int socket) = 0;
    virtual void turn_off(std::uint32_t place, bool off) = 0;
    /// Null where the kernel does not choose by it.
    [[nodiscard]] virtual steering_load* load() noexcept = 0;
    /// What workers map to tell their load, where load() is not null.
    [[nodiscard]] virtual int load_descriptor() const noexcept = 0;
};

/// Chooses, in the kernel, which socket of an SO_REUSEPORT group a client gets.
class steering final : public socket_steering {
public:
    /// Makes what is needed and proves that the kernel takes a program: eBPF, or, by client only, a
    /// classic filter. EPERM without CAP_BPF and CAP_NET_ADMIN.
    std::error_code open(steer_by what) {
        what_ = what;
        std::error_code error;
        control_fd_ = make_array(sizeof(steering_control), error);
        if (!error && what == steer_by::load) {
            load_fd_ = make_array(sizeof(steering_load), error);
        }
        if (!error) {
            sockets_ = make_map(bpf_abi::map_type_reuseport_sockarray,
                                sizeof(std::uint64_t),
                                steered_places,
                                0,
                                error);
        }
        if (!error) {
            control_map_ = shared_mapping::map(control_fd_.get(), sizeof(steering_control), error);
        }
        if (load_fd_) {
            load_map_ = shared_mapping::map(load_fd_.get(), sizeof(steering_load), error);
        }
        if (!error) {
            program(1, error);
        }
        for (std::uint32_t i = 0; !error && i != steered_places; ++i) {
            control().places[i].constant = i * place_factor + place_offset;
            control().places[i].off.store(1, std::memory_order_relaxed);
        }
        why_classic_ = error;
        return what == steer_by::client ? std::error_code{} : error;
    }
    [[nodiscard]] std::error_code why_classic() const noexcept override { return why_classic_; }

    std::error_code add(std::uint32_t place, int socket) override {
        if (place >= steered_places) {
            return std::make_error_code(std::errc::argument_out_of_domain);
        }
        if (why_classic_) {
            group_.push_back({place, socket, true});
            return {};
        }
        auto value = static_cast<std::uint64_t>(socket);
        if (!set_in_map(sockets_.get(), place, &value)) {
            return last_error();
        }
        std::error_code error;
        if (place >= count_) {
            auto count = std::bit_ceil(place + 1); // not a new program for each
            unique_fd loaded = program(count, error);
            if (!error && !set_option(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, loaded.get())) {
                error = last_error();
            }
            count_ = error ? count_ : count;
        }
        return error;
    }
    void turn_off(std::uint32_t place, bool off) override {
        if (!why_classic_) {
            control().places[place].off.store(off ? 1 : 0, std::memory_order_relaxed);
            return;
        }
        for (auto& each : group_) {
            if (each.place == place && std::exchange(each.off, off) != off) {
                attach_filter();
            }
        }
    }

    [[nodiscard]] steering_load* load() noexcept override {
        return load_fd_ ? std::launder(static_cast<steering_load*>(load_map_.data())) : nullptr;
    }
    [[nodiscard]] int load_descriptor() const noexcept override { return load_fd_.get(); }

private:
    struct group_member {
        std::uint32_t place;
        int socket; // borrowed
        bool off;
    };

    static unique_fd make_array(std::size_t size, std::error_code& error) noexcept {
        return make_map(bpf_abi::map_type_array,
                        static_cast<std::uint32_t>(size),
                        1,
                        bpf_abi::f_mmapable,
                        error);
    }
    [[nodiscard]] steering_control& control() noexcept {
        return *std::launder(static_cast<steering_control*>(control_map_.data()));
    }
    unique_fd program(std::uint32_t count, std::error_code& error) {
        return steering_program{control_fd_.get(), load_fd_.get(), sockets_.get(), count}.make(
            what_, error);
    }
    // Best effort: while it fails the last filter chooses.
    void attach_filter() {
        client_filter filter;
        for (std::uint32_t i = 0; i != group_.size(); ++i) {
            if (!group_[i].off) {
                filter.add_place(i, group_[i].place * place_factor + place_offset);
            }
        }
        filter.attach(group_.front().socket);
    }

    steer_by what_ = steer_by::turns;
    unique_fd control_fd_;
    unique_fd load_fd_;
    unique_fd sockets_;
    shared_mapping control_map_;
    shared_mapping load_map_;
    std::uint32_t count_ = 0;
    std::error_code why_classic_;
    std::vector<group_member> group_;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_STEERING_HPP
