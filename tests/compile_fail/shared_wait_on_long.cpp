// expect: error: static.assert.*wait/notify: the kernel waits on four bytes
#include <cluster.hpp>
void wait_long(std::atomic<long>& word) {
    cluster::wait(word, 0);
}
