# The serializers of other libraries.

find_package(nlohmann_json 3.9 QUIET)
cluster_adapter_test(nlohmann_json FOUND ${nlohmann_json_FOUND} LIBRARIES nlohmann_json::nlohmann_json
    MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES nlohmann_json.cpp)

find_path(CEREAL_INCLUDE_DIR cereal/cereal.hpp)
cluster_adapter_test(cereal FOUND ${CEREAL_INCLUDE_DIR} MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES cereal.cpp)

find_path(MSGPACK_INCLUDE_DIR msgpack.hpp)
cluster_adapter_test(msgpack FOUND ${MSGPACK_INCLUDE_DIR} MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES msgpack.cpp)

# What the schema compilers make is a library of its own: our warnings are not for it.
find_package(Protobuf 3.4 QUIET)
if(Protobuf_FOUND AND Protobuf_PROTOC_EXECUTABLE)
    protobuf_generate_cpp(schema_sources schema_headers protobuf.proto protobuf_lite.proto)
    add_library(adapter_protobuf_schema STATIC EXCLUDE_FROM_ALL ${schema_sources} ${schema_headers})
    target_include_directories(adapter_protobuf_schema SYSTEM PUBLIC ${CMAKE_CURRENT_BINARY_DIR})
    target_link_libraries(adapter_protobuf_schema PUBLIC protobuf::libprotobuf)
endif()
cluster_adapter_test(protobuf FOUND ${Protobuf_FOUND} LIBRARIES adapter_protobuf_schema
    MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES protobuf.cpp)

find_path(FLATBUFFERS_INCLUDE_DIR flatbuffers/flatbuffers.h)
find_program(FLATC flatc)
if(FLATBUFFERS_INCLUDE_DIR AND FLATC)
    set(flatbuffers_found ON)
    set(schema ${CMAKE_CURRENT_SOURCE_DIR}/flatbuffers.fbs)
    set(schema_header ${CMAKE_CURRENT_BINARY_DIR}/flatbuffers_generated.h)
    add_custom_command(OUTPUT ${schema_header} COMMAND ${FLATC} --cpp -o ${CMAKE_CURRENT_BINARY_DIR} ${schema} DEPENDS ${schema})
    add_library(adapter_flatbuffers_schema INTERFACE)
    target_include_directories(adapter_flatbuffers_schema SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
endif()
cluster_adapter_test(flatbuffers FOUND ${flatbuffers_found} LIBRARIES adapter_flatbuffers_schema
    MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES flatbuffers.cpp ${schema_header})

# Not in the list of packages: Debian 12's Boost is older, and its libboost1.81-dev cannot be installed beside it;
# tests/run unpacks it. -DBOOST_JSON_INCLUDE_DIR=... names another one.
find_path(BOOST_JSON_INCLUDE_DIR boost/json/system_error.hpp # since 1.81
    HINTS ${PROJECT_SOURCE_DIR}/build/tools/boost/usr/include)
if(BOOST_JSON_INCLUDE_DIR)
    add_library(adapter_boost_json_headers INTERFACE)
    target_include_directories(adapter_boost_json_headers SYSTEM BEFORE INTERFACE ${BOOST_JSON_INCLUDE_DIR})
endif()
cluster_adapter_test(boost_json FOUND ${BOOST_JSON_INCLUDE_DIR} LIBRARIES adapter_boost_json_headers
    MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES boost_json.cpp)
