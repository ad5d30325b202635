// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_GUARDED_DECODE_HPP
#define CLUSTER_ADAPTERS_DETAIL_GUARDED_DECODE_HPP

#include "../../error.hpp"

#include <exception>
#include <new>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

// What other libraries throw because of the bytes is an error; only lack of memory is told as such.
template <typename Decode>
[[nodiscard]] std::error_code guarded_decode(Decode decode) {
    try {
        return decode();
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception&) {
        return errc::bad_payload;
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_GUARDED_DECODE_HPP
