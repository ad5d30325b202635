// expect: error: static.assert.*scheduling::from_environment: name some policies
#include <cluster/scheduling/from_environment.hpp>
cluster::scheduling::from_environment<>* chosen;
auto site = chosen->accepts_in();
