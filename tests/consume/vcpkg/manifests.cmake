# cmake -D PROJECT=... -P manifests.cmake: the manifests are JSON, and their version is the headers'.
file(STRINGS "${PROJECT}/include/cluster/version.hpp" lines REGEX "#define CLUSTER_VERSION_(MAJOR|MINOR|PATCH) ")
list(TRANSFORM lines REPLACE ".* ([0-9]+)$" "\\1")
list(JOIN lines "." expected)
foreach(manifest IN ITEMS vcpkg.json .vcpkg/ports/basic-cluster/vcpkg.json)
    file(READ "${PROJECT}/${manifest}" text)
    string(JSON name GET "${text}" name) # ends here if it is not JSON
    string(JSON version GET "${text}" version-semver)
    if(NOT name STREQUAL "basic-cluster" OR NOT version STREQUAL expected)
        message(FATAL_ERROR "${manifest} is of ${name} ${version}, the headers are of basic-cluster ${expected}")
    endif()
endforeach()
