// expect: error: static.assert.*self\(\): workers of this backend do not start at main\(\); give run\(\) both
#include <cluster.hpp>
int main(int argc, char** argv) {
    cluster::thread_cluster app{argc, argv};
    app.self().disconnect();
}
