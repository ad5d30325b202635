// expect: error: static.assert.*process_pool: another process does not have this object
#include <cluster.hpp>

int main(int argc, char** argv) {
    cluster::process_pool pool{argc, argv};
    int captured = 1;
    return pool.submit([captured] { return captured; }).get();
}
