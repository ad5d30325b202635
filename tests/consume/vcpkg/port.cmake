# cmake -D PROJECT=... -D OUT=... -D CURRENT_PACKAGES_DIR=... -P port.cmake: runs the portfile. The functions do what those
# of vcpkg of the same names do for one configuration without binaries.
cmake_minimum_required(VERSION 3.24)
set(PORT basic-cluster)
set(port_dir "${PROJECT}/.vcpkg/ports/basic-cluster")

function(vcpkg_cmake_configure)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" SOURCE_PATH OPTIONS)
    execute_process(
        COMMAND ${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${OUT}/build -DCMAKE_BUILD_TYPE=Release
                -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} ${arg_OPTIONS}
        COMMAND_ERROR_IS_FATAL ANY
    )
endfunction()

function(vcpkg_cmake_install)
    execute_process(COMMAND ${CMAKE_COMMAND} --build ${OUT}/build --target install COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Moves the package's files to share/<its name>, and lets them find the prefix from there.
function(vcpkg_cmake_config_fixup)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "PACKAGE_NAME;CONFIG_PATH" "")
    set(from ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH})
    set(to ${CURRENT_PACKAGES_DIR}/share/${arg_PACKAGE_NAME})
    file(GLOB files ${from}/*.cmake)
    if(NOT files)
        message(FATAL_ERROR "CONFIG_PATH ${arg_CONFIG_PATH}: nothing is installed there")
    endif()
    file(COPY ${files} DESTINATION ${to})
    file(REMOVE_RECURSE ${from})
    file(GLOB files ${to}/*-targets.cmake)
    foreach(file IN LISTS files)
        file(READ ${file} text)
        set(up "get_filename_component\\(_IMPORT_PREFIX \"[^\n]*\" PATH\\)\n")
        set(prefix "get_filename_component(_IMPORT_PREFIX \"\${CMAKE_CURRENT_LIST_DIR}/../..\" ABSOLUTE)\n")
        string(REGEX REPLACE "(${up})+" "${prefix}" text "${text}")
        file(WRITE ${file} "${text}")
    endforeach()
endfunction()

function(vcpkg_fixup_pkgconfig)
    file(GLOB_RECURSE files ${CURRENT_PACKAGES_DIR}/*.pc)
    foreach(file IN LISTS files)
        file(STRINGS ${file} libraries REGEX "^Libs")
        if(libraries AND file MATCHES "/share/")
            message(FATAL_ERROR "${file} has Libs, vcpkg wants those in lib/pkgconfig")
        endif()
    endforeach()
endfunction()

function(vcpkg_install_copyright)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "" FILE_LIST)
    file(COPY_FILE ${arg_FILE_LIST} ${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright)
endfunction()

include(${port_dir}/portfile.cmake)
