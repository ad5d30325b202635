// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_NO_CAPABILITIES_HPP
#define CLUSTER_TESTS_SUPPORT_NO_CAPABILITIES_HPP

#include <algorithm>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cluster_test {

/// For as long as it lives this process may load no programs into the kernel.
class no_capabilities {
public:
    no_capabilities() {
        __user_cap_data_struct none[2];
        ok_ = ::syscall(SYS_capget, &header_, before_) == 0;
        std::copy(before_, before_ + 2, none);
        none[0].effective = none[1].effective = 0;
        ok_ = ok_ && ::syscall(SYS_capset, &header_, none) == 0;
    }
    ~no_capabilities() { ::syscall(SYS_capset, &header_, before_); }
    no_capabilities(no_capabilities&&) = delete;
    [[nodiscard]] explicit operator bool() const noexcept { return ok_; }

private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct before_[2] = {};
    bool ok_ = false;
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_NO_CAPABILITIES_HPP
