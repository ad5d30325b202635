// expect: error: static.assert.*bus_node, bus_bridge: this type is no message bus
#include <cluster.hpp>
struct nothing {};
cluster::bus_node<nothing>* node;
auto size = sizeof(*node);
