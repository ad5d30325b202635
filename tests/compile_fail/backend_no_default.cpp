// expect: error: static.assert.*Backend must be default constructible
#include <cluster.hpp>
struct somewhere : cluster::backend::process {
    explicit somewhere(int) {}
};
cluster::compose<somewhere> app{0, nullptr};
