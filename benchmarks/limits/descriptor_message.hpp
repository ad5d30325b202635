// SPDX-License-Identifier: MIT
// Descriptors, many in one message.
#ifndef CLUSTER_BENCHMARKS_LIMITS_DESCRIPTOR_MESSAGE_HPP
#define CLUSTER_BENCHMARKS_LIMITS_DESCRIPTOR_MESSAGE_HPP

#include "checked.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>

inline constexpr std::size_t batch_size = 32; // descriptors per message of the primary

// One message of descriptors, either direction.
struct descriptor_message {
    std::array<int, batch_size> fds{};
    std::size_t count = 0;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * batch_size)> control{};
    char byte = 0;
    iovec part{};

    msghdr header() {
        msghdr message{};
        part = {&byte, 1};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        return message;
    }

    // Blocks while the worker's queue is full.
    void send(int channel) {
        msghdr message = header();
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
        std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * count);
        while (::sendmsg(channel, &message, MSG_NOSIGNAL) < 0) {
            if (errno != EINTR) {
                std::perror("sendmsg");
                break;
            }
        }
    }

    void receive(int channel) {
        count = 0;
        msghdr message = header();
        const ssize_t got = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got == 0) {
            std::_Exit(0); // the primary is gone
        }
        const cmsghdr* rights = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
        if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
            count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            std::memcpy(fds.data(), CMSG_DATA(rights), sizeof(int) * count);
        }
    }
};

#endif // CLUSTER_BENCHMARKS_LIMITS_DESCRIPTOR_MESSAGE_HPP
