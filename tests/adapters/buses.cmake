# redis_bus and nats_bus, against real servers that the tests start.
find_path(HIREDIS_INCLUDE hiredis/async.h)
find_library(HIREDIS_LIBRARY hiredis)
find_program(REDIS_SERVER redis-server)
set(found OFF)
if(HIREDIS_INCLUDE AND HIREDIS_LIBRARY AND REDIS_SERVER)
    set(found ON)
endif()
cluster_adapter_test(redis_bus FOUND ${found} LIBRARIES ${HIREDIS_LIBRARY} MAIN $<TARGET_OBJECTS:cluster_role_main>
    SOURCES redis_bus.cpp redis_cluster.cpp
)
if(found)
    target_include_directories(adapter_redis_bus SYSTEM PRIVATE ${HIREDIS_INCLUDE})
    target_compile_definitions(adapter_redis_bus PRIVATE REDIS_SERVER="${REDIS_SERVER}")
endif()

find_path(CNATS_INCLUDE nats/nats.h)
find_library(CNATS_LIBRARY nats)
find_program(NATS_SERVER nats-server PATHS /usr/sbin)
set(found OFF)
if(CNATS_INCLUDE AND CNATS_LIBRARY AND NATS_SERVER)
    set(found ON)
endif()
cluster_adapter_test(nats_bus FOUND ${found} LIBRARIES ${CNATS_LIBRARY} MAIN $<TARGET_OBJECTS:cluster_role_main>
    SOURCES nats_bus.cpp nats_cluster.cpp
)
if(found)
    target_include_directories(adapter_nats_bus SYSTEM PRIVATE ${CNATS_INCLUDE})
    target_compile_definitions(adapter_nats_bus PRIVATE NATS_SERVER="${NATS_SERVER}")
endif()
