// SPDX-License-Identifier: MIT
#include <cluster/adapters/qt.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <csignal>

#include <QHostAddress>
#include <QLocalSocket>
#include <QTcpSocket>
#include <QTimer>

namespace {

using namespace std::chrono_literals;
using cluster::adapters::to_qt;

struct host {
    static constexpr bool throws = false;

    void run() { QCoreApplication::exec(); }
    void after(std::chrono::milliseconds delay, std::function<void()> task) {
        auto* timer = new QTimer{&timers};
        auto locker = std::make_shared<QEventLoopLocker>();
        QObject::connect(timer, &QTimer::timeout, timer, [task = std::move(task), locker, timer] {
            task();
            timer->deleteLater();
        });
        timer->setSingleShot(true);
        timer->setTimerType(Qt::PreciseTimer);
        timer->start(delay);
    }
    auto drive(cluster::event_loop& role) {
        return std::make_unique<cluster::adapters::qt_driver>(role);
    }

    int argc = 1;
    char name[3] = "qt";
    char* argv[2] = {name, nullptr};
    QCoreApplication application{argc, argv};
    QObject timers;
};

cluster::connection taken(raw::ends& pair) {
    return cluster::connection{std::move(pair.ours)};
}

} // namespace

TEST_SUITE("adapters/qt") {
#include "driver_cases.hpp"

    TEST_CASE("a connection becomes a socket of Qt's: TCP and UNIX") {
        host other;
        auto talk = [](auto& socket, raw::ends& pair) {
            REQUIRE_FALSE(to_qt(socket, taken(pair)));
            raw::send_some(pair.theirs.get(), "hello");
            REQUIRE(socket.waitForReadyRead());
            CHECK(socket.readAll() == "hello");
            socket.write("you");
            socket.waitForBytesWritten();
            CHECK(raw::read_some(pair.theirs.get()) == "you");
        };
        SUBCASE("TCP") {
            QTcpSocket socket;
            auto pair = raw::tcp_pair();
            talk(socket, pair);
        }
        SUBCASE("UNIX") {
            QLocalSocket socket;
            auto pair = raw::unix_pair();
            talk(socket, pair);
        }
    }

    TEST_CASE("what does not fit is closed and an error") {
        host other;
        QTcpSocket tcp;
        QLocalSocket local;
        QTcpServer server;
        auto unix_pair = raw::unix_pair();
        CHECK(to_qt(tcp, taken(unix_pair)) == std::errc::address_family_not_supported);
        bool end = false;
        raw::read_some(unix_pair.theirs.get(), &end);
        CHECK(end);
        auto tcp_pair = raw::tcp_pair();
        CHECK(to_qt(local, taken(tcp_pair)) == std::errc::address_family_not_supported);
        CHECK(to_qt(tcp, cluster::connection{}) == std::errc::bad_file_descriptor);
        CHECK(to_qt(server, cluster::listener{}) == std::errc::bad_file_descriptor);
    }

    TEST_CASE("a listener becomes Qt's and closing it leaves others their socket") {
        host other;
        sockaddr_in at{};
        cluster::listener listener{raw::tcp_listener(at)};
        auto ours = listener.duplicate();
        QTcpServer server;
        REQUIRE_FALSE(to_qt(server, std::move(listener)));
        CHECK(server.serverPort() == ntohs(at.sin_port));
        auto client = raw::tcp_connect(at);
        REQUIRE(server.waitForNewConnection(30'000));
        CHECK(server.nextPendingConnection() != nullptr);
        server.close();
        CHECK(raw::tcp_connect(at));
        CHECK(ours);
    }
}
