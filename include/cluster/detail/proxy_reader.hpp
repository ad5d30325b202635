// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PROXY_READER_HPP
#define CLUSTER_DETAIL_PROXY_READER_HPP

#include "../event_loop.hpp"
#include "../net/connection.hpp"
#include "chrono.hpp"
#include "first_bytes.hpp"
#include "hash_map.hpp"
#include "move_only_function.hpp"
#include "os.hpp"
#include "proxy_protocol.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Reads the PROXY header with which every connection begins, and no byte more. A connection whose
/// header is wrong, too long, or not there in time is closed.
class proxy_reader final : private first_bytes_owner {
public:
    using handler = move_only_function<void(connection)>;

    /// \param done gets each connection behind its header; may throw
    proxy_reader(event_loop& loop, handler done)
        : first_{loop, *this, patience}, done_{std::move(done)} {}

    void read(connection client) {
        arrival one{connection_access::take_descriptor(client)};
        if (first_.has_room()) {
            waiting_[key_of(one)] = std::move(client);
            on_first_bytes(std::move(one));
        }
    }
    /// Closes those that are still to be read.
    void clear() noexcept {
        first_.clear();
        waiting_.clear();
    }

private:
    static constexpr std::chrono::seconds patience{5};
    static constexpr std::size_t longest = 4096; // with all that version 2 may append

    static std::uint64_t key_of(const arrival& one) noexcept {
        return static_cast<std::uint64_t>(one.fd.get());
    }

    void on_first_bytes(arrival one) override {
        auto there = first_.look(one.fd.get(), longest);
        auto header = there ? proxy_header::parse(*there) : proxy_header{};
        bool more = header.found == proxy_header::state::incomplete ||
                    (there && header.length > there->size());
        if (more && !one.settled && header.length <= longest && there->size() != longest) {
            first_.wait(std::move(one), there->size());
            return;
        }
        auto client = std::move(*waiting_.find(key_of(one)));
        waiting_.erase(key_of(one));
        if (!more && header.found != proxy_header::state::absent) {
            std::array<std::byte, longest> gone;
            os::receive(one.fd.get(), std::span{gone}.first(header.length));
            connection_access::give_descriptor(client, std::move(one.fd));
            if (header.found == proxy_header::state::present) {
                connection_access::set_remote(client, header.source);
            }
            done_(std::move(client));
        }
    }

    first_bytes first_;
    handler done_;
    number_map<connection> waiting_; // by their descriptors, which first_ has
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PROXY_READER_HPP
