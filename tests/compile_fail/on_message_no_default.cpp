// expect: error: static.assert.*on_message/on_request: a message must be default constructible
#include <cluster.hpp>
class job {
public:
    explicit job(int number) : number_{number} {}
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(number_);
    }

private:
    int number_;
};
void listen(cluster::process_cluster::self_type& self) {
    self.on_message([](const job&) {});
}
