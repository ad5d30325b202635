// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHARED_REGION_HPP
#define CLUSTER_DETAIL_SHARED_REGION_HPP

#include "../error.hpp"
#include "../ipc/wire.hpp"
#include "../unique_fd.hpp"
#include "algorithm.hpp"
#include "memory.hpp"
#include "os.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Memory that processes share, mapped once for each process: whoever opens it again, in whatever
/// thread, gets the same addresses. Thread-safe.
class shared_region {
public:
    explicit shared_region(os::shared_mapping mapping) noexcept : mapping_{std::move(mapping)} {}

    [[nodiscard]] void* data() const noexcept { return mapping_.data(); }
    [[nodiscard]] std::size_t size() const noexcept { return mapping_.size(); }

    /// Zeroed memory and the descriptor that others open it by.
    static std::shared_ptr<shared_region>
    create(std::size_t size, unique_fd& descriptor, std::error_code& error) {
        auto mapping = os::shared_mapping::create(size, descriptor, error);
        os::file_identity identity;
        if (error) {
            return {};
        }
        if (!os::identify(descriptor.get(), identity)) {
            error = os::last_error();
            return {};
        }
        auto made = std::make_shared<shared_region>(std::move(mapping));
        auto& all = known();
        std::lock_guard lock{all.mutex};
        all.add(identity, made);
        return made;
    }

    /// What somebody else has created; refuses a descriptor that is not what it should be.
    static std::shared_ptr<shared_region>
    open(int descriptor, std::size_t size, std::error_code& error) {
        os::file_identity identity;
        if (!os::identify(descriptor, identity)) {
            error = os::last_error();
            return {};
        }
        auto& all = known();
        std::lock_guard lock{all.mutex};
        auto found = all.find(identity);
        if (!found) {
            auto mapping = os::shared_mapping::open(descriptor, size, error);
            if (error) {
                return {};
            }
            found = std::make_shared<shared_region>(std::move(mapping));
            all.add(identity, found);
        } else if (found->size() < size) {
            error = {EINVAL, std::system_category()};
            return {};
        }
        error.clear();
        return found;
    }

private:
    // A file that is mapped keeps its number, so a region that lives is never taken for another.
    struct registry {
        std::mutex mutex;
        std::vector<std::pair<os::file_identity, std::weak_ptr<shared_region>>> entries;

        [[nodiscard]] std::shared_ptr<shared_region> find(const os::file_identity& identity) const {
            for (const auto& [known, region] : entries) {
                if (known == identity) {
                    if (auto alive = region.lock()) {
                        return alive;
                    }
                }
            }
            return {};
        }
        void add(const os::file_identity& identity, const std::shared_ptr<shared_region>& region) {
            detail::erase_if(entries, [](const auto& each) { return each.second.expired(); });
            entries.emplace_back(identity, region);
        }
    };
    static registry& known() {
        static registry all;
        return all;
    }

    os::shared_mapping mapping_;
};

/// The memory of a cluster by its names, in the primary, which keeps it for as long as it lives.
/// A worker that asks may be hostile: what all of them can use up is half of what there may be.
class region_table {
public:
    static constexpr std::size_t longest_name = 255;
    static constexpr std::size_t most_regions = 256; // each costs the primary a descriptor
    static constexpr std::uint64_t most_bytes = std::uint64_t{64} << 30U; // of all together

    struct entry {
        share_message asked;
        std::shared_ptr<shared_region> region;
        unique_fd descriptor;
    };

    enum class asker : unsigned char { primary, worker };

    /// Finds what the name stands for, or makes it. \returns null and `error`.
    const entry* find_or_create(const share_message& asked, asker by, std::error_code& error) {
        error = check(asked);
        if (error) {
            return nullptr;
        }
        for (const auto& each : entries_) {
            if (each->asked.name == asked.name) {
                bool same = each->asked.layout == asked.layout &&
                            each->asked.count == asked.count && each->asked.bytes == asked.bytes;
                error = same ? std::error_code{} : make_error_code(errc::conflicting_type);
                return same ? each.get() : nullptr;
            }
        }
        const unsigned share = by == asker::worker ? 2 : 1;
        if (entries_.size() >= most_regions / share) {
            error = std::make_error_code(std::errc::no_space_on_device);
            return nullptr;
        }
        if (bytes_ > most_bytes / share || asked.bytes > most_bytes / share - bytes_) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return nullptr;
        }
        auto made = std::make_unique<entry>();
        made->asked = asked;
        made->region =
            shared_region::create(static_cast<std::size_t>(asked.bytes), made->descriptor, error);
        if (error) {
            return nullptr;
        }
        bytes_ += asked.bytes;
        return entries_.emplace_back(std::move(made)).get();
    }

private:
    static std::error_code check(const share_message& asked) noexcept {
        if (asked.name.empty() || asked.count == 0 || asked.bytes == 0) {
            return std::make_error_code(std::errc::invalid_argument);
        }
        return asked.name.size() > longest_name ? std::make_error_code(std::errc::filename_too_long)
                                                : std::error_code{};
    }

    std::vector<std::unique_ptr<entry>> entries_;
    std::uint64_t bytes_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHARED_REGION_HPP
