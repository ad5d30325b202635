// SPDX-License-Identifier: MIT
#include <cluster/detail/os/linux/cpu.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include <ftw.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

namespace os = cluster::detail::os;
using os::cgroup_version;

namespace {

/// A directory that looks like a mounted cgroup hierarchy.
class fake_hierarchy {
public:
    fake_hierarchy() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
    ~fake_hierarchy() {
        ::nftw(
            path_.c_str(),
            [](const char* name, const struct stat*, int, FTW*) { return ::remove(name); },
            8,
            FTW_DEPTH | FTW_PHYS);
    }
    fake_hierarchy(const fake_hierarchy&) = delete;
    fake_hierarchy& operator=(const fake_hierarchy&) = delete;

    void add_directory(const std::string& name) const { ::mkdir((path_ + name).c_str(), 0755); }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream{path_ + name} << text << '\n';
    }
    /// The line of mountinfo, with `root` mounted here.
    std::string mount(const std::string& root, const std::string& tail) const {
        return "41 31 0:38 " + root + " " + path_ + " rw,nosuid shared:9 - " + tail + "\n";
    }

private:
    std::string path_ = "/tmp/cluster_cpu_XXXXXX";
};

} // namespace

TEST_SUITE("detail/os/cpu") {
    TEST_CASE("at least one cpu is available, and no more than the affinity allows") {
        const unsigned available = os::available_parallelism();
        CHECK(available >= 1);
        CHECK(available <= os::affinity_count());
    }

    TEST_CASE("the affinity of the thread counts") {
        std::thread{[] {
            cpu_set_t allowed;
            REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
            CHECK(os::affinity_count() == static_cast<unsigned>(CPU_COUNT(&allowed)));
            std::size_t cpu = 0;
            while (!CPU_ISSET(cpu, &allowed)) {
                ++cpu;
            }
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
            CHECK(os::affinity_count() == 1);
            CHECK(os::available_parallelism() == 1);
        }}.join();
    }

    TEST_CASE("cpu.max is a quota and a period, rounded up") {
        CHECK(os::parse_cpu_max("200000 100000\n") == 2U);
        CHECK(os::parse_cpu_max("150000 100000\n") == 2U);
        CHECK(os::parse_cpu_max("100000 100000") == 1U);
        CHECK(os::parse_cpu_max("1000 100000\n") == 1U);
        CHECK(os::parse_cpu_max("1600000 50000\n") == 32U);
    }

    TEST_CASE("no quota and nonsense do not limit") {
        for (const char* text : {"max 100000\n",
                                 "",
                                 "\n",
                                 "100000",
                                 "0 100000\n",
                                 "100000 0\n",
                                 "-1 100000\n",
                                 "12x 100000\n",
                                 "100000 y\n",
                                 "99999999999999999999999 1\n",
                                 "9000000000000000000 1\n"}) {
            CHECK_FALSE(os::parse_cpu_max(text));
        }
        CHECK_FALSE(os::parse_quota("-1\n", "100000\n"));
        CHECK_FALSE(os::parse_quota("", ""));
        CHECK(os::parse_quota("250000\n", "100000\n") == 3U);
    }

    TEST_CASE("the cgroup is found in both versions") {
        const char* hybrid =
            "9:name=systemd:/init\n8:cpuset:/set\n4:cpuacct,cpu:/a/b:c\n0::/unified\n";
        CHECK(os::parse_cgroup(hybrid, cgroup_version::v1) == "/a/b:c");
        CHECK(os::parse_cgroup(hybrid, cgroup_version::v2) == "/unified");
        CHECK(os::parse_cgroup("0::/\n", cgroup_version::v2) == "/");
        CHECK(os::parse_cgroup("0::/last", cgroup_version::v2) == "/last");
        CHECK_FALSE(os::parse_cgroup("0::/\n", cgroup_version::v1));
        CHECK_FALSE(os::parse_cgroup("3:cpuset:/x\n", cgroup_version::v1));
        CHECK_FALSE(os::parse_cgroup("", cgroup_version::v2));
        CHECK_FALSE(os::parse_cgroup("garbage\n:::\n", cgroup_version::v1));
    }

    TEST_CASE("the mount is found in both versions") {
        const char* mounts =
            "23 1 254:0 / / rw - ext4 /dev/vda rw\n"
            "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
            "32 31 0:29 /docker/x /sys/fs/cgroup/cpu rw shared:1 master:2 - cgroup cgroup "
            "rw,cpu,cpuacct\n"
            "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        const auto v1 = os::parse_mount(mounts, cgroup_version::v1);
        REQUIRE(v1);
        CHECK(v1->root == "/docker/x");
        CHECK(v1->point == "/sys/fs/cgroup/cpu");
        const auto v2 = os::parse_mount(mounts, cgroup_version::v2);
        REQUIRE(v2);
        CHECK(v2->root == "/");
        CHECK(v2->point == "/sys/fs/cgroup/unified");
        CHECK_FALSE(os::parse_mount("", cgroup_version::v1));
        CHECK_FALSE(os::parse_mount("1 2 3\n - \n - cgroup", cgroup_version::v1));
    }

    TEST_CASE("the place of a cgroup below its mount") {
        CHECK(os::below_mount("/", "/") == "");
        CHECK(os::below_mount("/a/b", "/") == "/a/b");
        CHECK(os::below_mount("/docker/x", "/docker/x") == "");
        CHECK(os::below_mount("/docker/x/y", "/docker/x") == "/y");
        CHECK(os::below_mount("/docker/xy", "/docker/x") == "");
        CHECK(os::below_mount("/elsewhere", "/docker/x") == "");
        CHECK(os::below_mount("/../../other", "/") == "");
    }

    TEST_CASE("the tightest limit on the way up counts") {
        const fake_hierarchy cgroups;
        cgroups.add_directory("/a");
        cgroups.add_directory("/a/b");
        cgroups.add_directory("/a/b/c");
        SUBCASE("version 2") {
            const std::string mounts = cgroups.mount("/", "cgroup2 cgroup2 rw");
            const auto limit = [&] {
                return os::cgroup_quota("0::/a/b/c\n", mounts, cgroup_version::v2);
            };
            CHECK_FALSE(limit());
            cgroups.write("/a/b/c/cpu.max", "max 100000");
            CHECK_FALSE(limit());
            cgroups.write("/a/cpu.max", "300000 100000");
            CHECK(limit() == 3U);
            cgroups.write("/a/b/cpu.max", "400000 100000");
            CHECK(limit() == 3U);
            cgroups.write("/a/b/c/cpu.max", "50000 100000");
            CHECK(limit() == 1U);
        }
        SUBCASE("version 2, in the namespace of a container") {
            cgroups.write("/cpu.max", "200000 100000");
            CHECK(os::cgroup_quota(
                      "0::/\n", cgroups.mount("/", "cgroup2 none rw"), cgroup_version::v2) == 2U);
        }
        SUBCASE("version 1") {
            const std::string mounts = cgroups.mount("/docker", "cgroup cgroup rw,cpuacct,cpu");
            const auto limit = [&] {
                return os::cgroup_quota("4:cpu,cpuacct:/docker/a/b\n", mounts, cgroup_version::v1);
            };
            CHECK_FALSE(limit());
            cgroups.write("/cpu.cfs_quota_us", "600000");
            cgroups.write("/cpu.cfs_period_us", "100000");
            cgroups.write("/a/b/cpu.cfs_quota_us", "-1");
            cgroups.write("/a/b/cpu.cfs_period_us", "100000");
            CHECK(limit() == 6U);
            cgroups.write("/a/cpu.cfs_quota_us", "150000");
            cgroups.write("/a/cpu.cfs_period_us", "100000");
            CHECK(limit() == 2U);
        }
        SUBCASE("a hierarchy that is not mounted") {
            CHECK_FALSE(os::cgroup_quota("0::/a\n", "", cgroup_version::v2));
            CHECK_FALSE(
                os::cgroup_quota("", cgroups.mount("/", "cgroup2 x rw"), cgroup_version::v2));
        }
    }
}
