// SPDX-License-Identifier: MIT
// Boost.Interprocess: a message_queue each way. A queue holds 256 KiB, at most 1,024 messages.
//
//   boost_interprocess [--seconds S]

#include "peer.hpp"

#include <boost/interprocess/ipc/message_queue.hpp>

#include <memory>

namespace {

namespace ipc = boost::interprocess;

class end {
public:
    static void prepare(std::size_t bytes) {
        const std::size_t most = std::min<std::size_t>(1024, 256 * 1024 / bytes);
        for (const bool child : {false, true}) {
            ipc::message_queue::remove(name(::getpid(), child).c_str());
            ipc::message_queue{ipc::create_only, name(::getpid(), child).c_str(), most, bytes};
        }
    }

    end(bool child, std::size_t)
        : owner_{child ? ::getppid() : ::getpid()},
          is_child_{child},
          in_{ipc::open_only, name(owner_, child).c_str()},
          out_{ipc::open_only, name(owner_, !child).c_str()} {}
    end(end&&) = delete;
    end& operator=(end&&) = delete;
    ~end() {
        for (const bool child : {false, true}) {
            is_child_ ? false : ipc::message_queue::remove(name(owner_, child).c_str());
        }
    }

    void send(const char* data, std::size_t size) { out_.send(data, size, 0); }
    void receive(char* data, std::size_t size) {
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        in_.receive(data, size, got, priority);
        if (got != size) {
            peer::die("receive");
        }
    }

private:
    static std::string name(int owner, bool child) {
        return "cluster-benchmark-" + std::to_string(owner) + (child ? "-there" : "-back");
    }

    int owner_;
    bool is_child_;
    ipc::message_queue in_;
    ipc::message_queue out_;
};

} // namespace

int main(int argc, char** argv) {
    return peer::run<end>("Boost message_queue", argc, argv);
}
