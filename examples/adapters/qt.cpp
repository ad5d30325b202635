// SPDX-License-Identifier: MIT
// Qt accepts from the socket of its worker's place and answers.
#include <cluster.hpp>
#include <cluster/adapters/qt.hpp>

#include "supervise.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include <csignal>

#include <QCoreApplication>
#include <QEventLoopLocker>
#include <QTcpServer>
#include <QTcpSocket>
#include <QTimer>

namespace {

/// One request of one client. Qt's loop does not end before it is answered.
void answer(QTcpSocket* client, const std::string& text) {
    QObject::connect(
        client,
        &QTcpSocket::disconnected,
        client,
        [client, here = std::make_shared<QEventLoopLocker>()] { client->deleteLater(); });
    QObject::connect(client, &QTcpSocket::readyRead, client, [client, text] {
        if (client->peek(8192).contains("\r\n\r\n")) {
            client->readAll();
            client->write(("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
                           std::to_string(text.size()) + "\r\n\r\n" + text)
                              .c_str());
            client->disconnectFromHost(); // when that is written
        } else if (client->bytesAvailable() >= 8192) {
            client->abort();
        }
    });
    QTimer::singleShot(5000, client, &QTcpSocket::abort); // it says nothing
    if (client->state() != QAbstractSocket::ConnectedState) {
        client->deleteLater();
    }
}

template <typename Self>
void serve(Self& self, std::uint16_t port, int argc, char** argv) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    QCoreApplication application{argc, argv};
    cluster::adapters::qt_driver driver{self};
    std::string text = "Hello from worker " + std::to_string(self.id()) + "\n";
    QTcpServer server;
    QObject::connect(&server, &QTcpServer::newConnection, &server, [&] {
        while (auto* client = server.nextPendingConnection()) {
            answer(client, text);
        }
    });
    if (auto error = cluster::adapters::to_qt(server, self.open_listener({.port = port}))) {
        throw std::system_error(error, "qt");
    }
    auto closing = self.on(cluster::event::disconnect, [&server] { server.close(); });
    QCoreApplication::exec(); // until the last client has its answer
    closing.cancel();
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    examples::server_cluster app{argc, argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [=](auto& self) { serve(self, port, argc, argv); });
}
