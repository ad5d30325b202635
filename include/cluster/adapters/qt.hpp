// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_QT_HPP
#define CLUSTER_ADAPTERS_QT_HPP

#include "../detail/os.hpp"
#include "../net/address.hpp"
#include "../net/connection.hpp"
#include "../net/listener.hpp"
#include "../unique_fd.hpp"
#include "detail/driven_loop.hpp"

#include <optional>
#include <system_error>
#include <type_traits>

#include <QAbstractSocket>
#include <QCoreApplication>
#include <QEventLoopLocker>
#include <QMetaObject>
#include <QObject>
#include <QSocketNotifier>
#include <QTcpServer>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

// Qt takes the descriptor when it has succeeded.
template <typename Socket>
std::error_code open_in_qt(Socket& socket, unique_fd fd, bool local) {
    if (!fd) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    auto family = cluster::detail::os::local_address(fd.get()).family();
    bool is_local = family == address_family::local || family == address_family::none; // of a pair
    if (is_local != local) {
        return std::make_error_code(std::errc::address_family_not_supported);
    }
    if (!socket.setSocketDescriptor(fd.get())) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
    static_cast<void>(fd.release());
    return {};
}

} // namespace detail

/// Gives a connection to a socket of Qt: a TCP one to a QTcpSocket or QSslSocket, a UNIX one to a
/// QLocalSocket. From here on the server does not count it.
/// \returns `address_family_not_supported` for the other kind of connection, `bad_file_descriptor`
/// for an empty one; the connection is then closed.
template <typename Socket>
[[nodiscard]] std::error_code to_qt(Socket& socket, connection&& client) {
    return detail::open_in_qt(
        socket, client.release(io::nonblocking), !std::is_base_of_v<QAbstractSocket, Socket>);
}

/// Gives a listening TCP socket (self.open_listener()) to Qt. Close the server when event::disconnect
/// says that the worker finishes: the primary keeps the socket for the worker's successor.
/// \returns as above
[[nodiscard]] inline std::error_code to_qt(QTcpServer& server, listener&& socket) {
    return detail::open_in_qt(server, socket.release(io::nonblocking), false);
}

/// Runs a role inside Qt's main event loop: its messages, connections, timers and signals arrive while
/// QCoreApplication::exec() runs. While the role has something to wait for the driver holds a
/// QEventLoopLocker: hold one for each client of yours, and exec() returns when nobody has one any
/// more. It returns at once after a stop() of the role, of which the role's run() then returns the
/// code. What a handler of the role throws also makes it return, and leaves from the role's run().
///
/// The application outlives the driver; both are the role's thread's. Blocks nowhere.
class qt_driver final : private detail::driven_loop {
public:
    /// `role` is a primary, a self, a cluster, or an event_loop; it outlives the driver.
    /// \throws std::system_error when the system is out of descriptors
    template <typename Role>
    explicit qt_driver(Role& role)
        : driven_loop{detail::loop_of(role)},
          notifier_{new QSocketNotifier{descriptor(), QSocketNotifier::Read}} {
        QObject::connect(notifier_, &QSocketNotifier::activated, &here_, [this] {
            if (turn_without_throwing()) {
                QCoreApplication::exit(0);
            }
        });
        start();
    }
    qt_driver(qt_driver&&) = delete;
    qt_driver& operator=(qt_driver&&) = delete;
    ~qt_driver() {
        stop();
        notifier_->setEnabled(false);
        notifier_->deleteLater(); // it may be what has called us
    }

private:
    // The last locker ends exec(), if that runs: not before it has begun.
    inline void on_liveness(bool alive) noexcept override {
        alive_ = alive;
        if (alive && !locker_) {
            locker_.emplace();
        } else if (!alive) {
            auto unlock = [this] {
                if (!alive_) {
                    locker_.reset();
                }
            };
            QMetaObject::invokeMethod(&here_, unlock, Qt::QueuedConnection);
        }
    }

    QObject here_;              // who is called, and is not any more when we are gone
    QSocketNotifier* notifier_; // deletes itself
    bool alive_ = true;
    std::optional<QEventLoopLocker> locker_{std::in_place};
};

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_QT_HPP
