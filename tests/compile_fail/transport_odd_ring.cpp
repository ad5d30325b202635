// expect: error: static.assert.*the ring must be a power of two from 64 KiB to 1 GiB
#include <cluster.hpp>
using odd = cluster::transport::basic_shared_memory<cluster::transport::shared_memory_options{
    .ring = 100'000}>;
cluster::compose<cluster::backend::basic_process<odd>> app{0, nullptr};
