# Event loops and servers of other libraries.
find_package(PkgConfig)

find_path(ASIO_INCLUDE_DIR asio.hpp)
find_path(BOOST_INCLUDE_DIR boost/beast.hpp)
add_library(adapter_asio_options INTERFACE)
# Clang has had coroutines for longer than these releases of Asio know.
target_compile_definitions(
    adapter_asio_options
    INTERFACE $<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT ASIO_HAS_STD_COROUTINE BOOST_ASIO_HAS_CO_AWAIT
              BOOST_ASIO_HAS_STD_COROUTINE>
)
foreach(name IN ITEMS asio boost_asio)
    set(include_dir ${ASIO_INCLUDE_DIR})
    if(name STREQUAL "boost_asio")
        set(include_dir ${BOOST_INCLUDE_DIR})
    endif()
    set(libraries adapter_asio_options)
    cluster_adapter_test(${name} FOUND "${include_dir}" LIBRARIES ${libraries} SOURCES ${name}.cpp)
    cluster_adapter_example(${name} FOUND "${include_dir}" LIBRARIES ${libraries})
endforeach()

# The numbered example, with its fixed port.
find_package(Python3 COMPONENTS Interpreter)
if(ASIO_INCLUDE_DIR AND NOT CLUSTER_BUILD_EXAMPLES AND Python3_FOUND)
    add_executable(adapter_example_11_asio ${PROJECT_SOURCE_DIR}/examples/11_asio.cpp)
    target_link_libraries(adapter_example_11_asio PRIVATE cluster::cluster cluster_warnings adapter_asio_options)
    add_dependencies(adapter_suites adapter_example_11_asio)
    add_test(NAME adapter.example.11_asio COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tests/examples/usage.py
                                                  11_asio $<TARGET_FILE:adapter_example_11_asio>)
    set_tests_properties(
        adapter.example.11_asio PROPERTIES TIMEOUT 120 LABELS adapter SKIP_RETURN_CODE 77 RESOURCE_LOCK fixed_ports
    )
endif()

# cluster_loop_adapter(<name> <pkg-config module>): the test and the example of an adapter for it.
function(cluster_loop_adapter name module)
    if(PkgConfig_FOUND)
        pkg_check_modules(ADAPTER_${name} QUIET IMPORTED_TARGET ${module})
    endif()
    set(library "")
    if(ADAPTER_${name}_FOUND)
        set(library PkgConfig::ADAPTER_${name})
    endif()
    cluster_adapter_test(${name} FOUND "${ADAPTER_${name}_FOUND}" LIBRARIES ${library} SOURCES ${name}.cpp)
    cluster_adapter_example(${name} FOUND "${ADAPTER_${name}_FOUND}" LIBRARIES ${library})
endfunction()
cluster_loop_adapter(libuv libuv)
cluster_loop_adapter(libevent libevent)
cluster_loop_adapter(cpp_httplib cpp-httplib)

# gRPC, with the code that it makes of examples/adapters/hello.proto.
find_program(PROTOC protoc)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin)
set(found "")
if(PkgConfig_FOUND AND PROTOC AND GRPC_CPP_PLUGIN)
    pkg_check_modules(ADAPTER_grpc QUIET IMPORTED_TARGET grpc++ protobuf)
    set(found ${ADAPTER_grpc_FOUND})
endif()
if(found)
    set(made ${CMAKE_CURRENT_BINARY_DIR}/grpc)
    file(MAKE_DIRECTORY ${made})
    set(sources ${made}/hello.pb.cc ${made}/hello.grpc.pb.cc)
    set(proto_dir ${PROJECT_SOURCE_DIR}/examples/adapters)
    add_custom_command(
        OUTPUT ${sources}
        COMMAND ${PROTOC} -I ${proto_dir} --cpp_out=${made} --grpc_out=${made}
                --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${proto_dir}/hello.proto
        DEPENDS ${proto_dir}/hello.proto
    )
    add_library(adapter_grpc_hello STATIC ${sources})
    target_compile_features(adapter_grpc_hello PUBLIC cxx_std_20)
    target_include_directories(adapter_grpc_hello SYSTEM PUBLIC ${made})
    target_link_libraries(adapter_grpc_hello PUBLIC PkgConfig::ADAPTER_grpc)
    add_executable(adapter_grpc_client grpc_client.cpp)
    target_link_libraries(adapter_grpc_client PRIVATE adapter_grpc_hello cluster_warnings)
    add_dependencies(adapter_suites adapter_grpc_client)
endif()
cluster_adapter_test(grpc FOUND "${found}" LIBRARIES adapter_grpc_hello SOURCES grpc.cpp)
cluster_adapter_example(grpc FOUND "${found}" LIBRARIES adapter_grpc_hello)

find_package(Qt6 QUIET COMPONENTS Core Network)
set(qt Qt6)
if(NOT Qt6_FOUND)
    find_package(Qt5 QUIET COMPONENTS Core Network)
    set(qt Qt5)
endif()
cluster_adapter_test(qt FOUND "${${qt}_FOUND}" LIBRARIES ${qt}::Core ${qt}::Network SOURCES qt.cpp)
cluster_adapter_example(qt FOUND "${${qt}_FOUND}" LIBRARIES ${qt}::Core ${qt}::Network)
