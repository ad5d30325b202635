# An overlay port of the checkout that it lies in: vcpkg install basic-cluster --overlay-ports=.vcpkg/ports
# A registry's copy takes the sources of a release with vcpkg_from_github instead. The path below is not part of
# the package's ABI hash: use --no-binarycaching while the sources change.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

set(VCPKG_BUILD_TYPE release) # header-only
vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS -DCLUSTER_BUILD_TESTS=OFF -DCLUSTER_BUILD_EXAMPLES=OFF -DCLUSTER_BUILD_BENCHMARKS=OFF -DCLUSTER_INSTALL=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME basic_cluster CONFIG_PATH share/cmake/basic_cluster)
vcpkg_fixup_pkgconfig()

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
