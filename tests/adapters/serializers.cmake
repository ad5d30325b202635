# The serializers of other libraries.

find_package(nlohmann_json 3.9 QUIET)
cluster_adapter_test(nlohmann_json FOUND ${nlohmann_json_FOUND} LIBRARIES nlohmann_json::nlohmann_json
    MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES nlohmann_json.cpp)

find_path(CEREAL_INCLUDE_DIR cereal/cereal.hpp)
cluster_adapter_test(cereal FOUND ${CEREAL_INCLUDE_DIR} MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES cereal.cpp)

find_path(MSGPACK_INCLUDE_DIR msgpack.hpp)
cluster_adapter_test(msgpack FOUND ${MSGPACK_INCLUDE_DIR} MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES msgpack.cpp)
