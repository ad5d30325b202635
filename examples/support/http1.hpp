// SPDX-License-Identifier: MIT
// A small HTTP/1.1 server for the examples: enough to be put behind a browser, curl or a load
// generator, not a part of the library.
#ifndef EXAMPLES_HTTP1_HPP
#define EXAMPLES_HTTP1_HPP

#include "http1_message.hpp"
#include "http1_session.hpp"

#include <cluster/net/connection.hpp>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace examples {

namespace detail {
template <typename Self, typename Handler>
class handled_session;
}

/// Answers one request, at any later time: call it with a response. Move-only. The request stays
/// good until it is called or destroyed, even if the client is gone meanwhile; then the answer goes
/// nowhere. Destroyed without a call it answers 500. Same thread as the loop.
class responder {
public:
    responder(responder&& other) noexcept = default;
    responder& operator=(responder&& other) noexcept {
        responder old{std::move(*this)};
        session_ = std::move(other.session_);
        number_ = other.number_;
        return *this;
    }
    ~responder() {
        if (session_) {
            session_->abandon(number_);
        }
    }

    /// A second call does nothing.
    void operator()(const response& result) const {
        if (session_) {
            session_->answer(number_, result);
        }
    }

private:
    template <typename Self, typename Handler>
    friend class detail::handled_session;

    responder(std::shared_ptr<detail::session> session, std::uint64_t number) noexcept
        : session_{std::move(session)}, number_{number} {}

    std::shared_ptr<detail::session> session_;
    std::uint64_t number_ = 0;
};

namespace detail {

// The session with its handler.
template <typename Self, typename Handler>
class handled_session final : public session {
public:
    handled_session(Self& self, cluster::stream& on, const serve_options& options, Handler handler)
        : session{on, options}, self_{self}, handler_{std::move(handler)} {}

private:
    void handle(const request& what) override {
        if constexpr (std::is_invocable_v<Handler&, const request&>) {
            respond(handler_(what));
        } else {
            static_assert(std::is_invocable_v<Handler&, const request&, responder>,
                          "serve_http: the handler is `response(const request&)` or, to answer "
                          "later, `void(const request&, responder)`.");
            auto number = defer();
            handler_(what, responder{shared_from_this(), number});
        }
    }
    [[nodiscard]] bool is_draining() const override { return !self_.is_connected(); }

    Self& self_;
    Handler handler_;
};

} // namespace detail

/// Serves HTTP/1.1 on a connection until it ends. The handler is `response(const request&)` or, to
/// answer later, `void(const request&, responder)`; each connection has a copy. A handler that
/// throws answers 500. When the role drains, the answer that is under way is the last one.
template <typename Self, typename Handler>
void serve_http(Self& self,
                cluster::connection client,
                Handler handler,
                const serve_options& options = {}) {
    cluster::stream& on = self.attach(std::move(client));
    if (on.is_open()) {
        std::make_shared<detail::handled_session<Self, Handler>>(
            self, on, options, std::move(handler))
            ->start();
    }
}

} // namespace examples

#endif // EXAMPLES_HTTP1_HPP
