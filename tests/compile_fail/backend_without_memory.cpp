// expect: error: static.assert.*Backend needs `static constexpr bool separate_memory`
#include <cluster.hpp>
struct somewhere {
    cluster::detail::launched_worker launch(const cluster::detail::launch_request&,
                                            std::error_code&);
};
cluster::compose<somewhere> app{0, nullptr};
