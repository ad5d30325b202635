// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_LISTEN_ADDRESSES_HPP
#define CLUSTER_DETAIL_LISTEN_ADDRESSES_HPP

#include "../net/listen_options.hpp"
#include "number.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Reads one of listen_options::addresses into the fields for a single one. \returns whether it is
/// any.
inline bool read_listen_address(std::string_view text, listen_options& into) {
    constexpr std::string_view local = "unix:";
    if (text.starts_with(local) || text.find('/') != text.npos || text.starts_with('@')) {
        text.remove_prefix(text.starts_with(local) ? local.size() : 0);
        into.abstract = text.starts_with('@');
        into.path = text.substr(into.abstract ? 1 : 0);
        return !into.path.empty();
    }
    auto colon = text.rfind(':');
    if (colon == text.npos) {
        return false;
    }
    auto host = text.substr(0, colon);
    auto port = text.substr(colon + 1);
    if (!read_number(port, into.port)) {
        return false;
    }
    bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    host = bracketed ? host.substr(1, host.size() - 2) : host == "*" ? "" : host;
    into.host = host;
    return bracketed || host.find_first_of("[]:") == host.npos;
}

/// The options for each of the addresses, by which one at a time is bound; the options themselves
/// when they do not have several.
inline std::vector<listen_options> each_address(const listen_options& options,
                                                std::error_code& error) {
    error.clear();
    if (options.addresses.empty()) {
        return {options};
    }
    std::vector<listen_options> result;
    bool also_a_single_one = !options.host.empty() || options.port != 0 || !options.path.empty() ||
                             options.fd != -1 || !options.activated.empty();
    bool understood = !also_a_single_one;
    for (const auto& each : options.addresses) {
        auto& one = result.emplace_back(options);
        one.addresses.clear();
        understood = understood && read_listen_address(each, one);
    }
    if (!understood) {
        error = std::make_error_code(std::errc::invalid_argument);
        result.clear();
    }
    return result;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_LISTEN_ADDRESSES_HPP
