# redis_bus and nats_bus, against real servers that the tests start.

# cluster_bus_test(<redis or nats> <header> <library> <server>): adapter_<name>_bus, which finds the server by the macro
# <NAME>_SERVER.
function(cluster_bus_test name header library server)
    string(TOUPPER ${name} upper)
    find_path(${upper}_INCLUDE ${header})
    find_library(${upper}_LIBRARY ${library})
    find_program(${upper}_SERVER ${server} PATHS /usr/sbin)
    set(found OFF)
    if(${upper}_INCLUDE AND ${upper}_LIBRARY AND ${upper}_SERVER)
        set(found ON)
    endif()
    cluster_adapter_test(${name}_bus FOUND ${found} LIBRARIES ${${upper}_LIBRARY}
        MAIN $<TARGET_OBJECTS:cluster_role_main> SOURCES ${name}_bus.cpp ${name}_cluster.cpp
    )
    if(found)
        target_include_directories(adapter_${name}_bus SYSTEM PRIVATE ${${upper}_INCLUDE})
        target_compile_definitions(adapter_${name}_bus PRIVATE ${upper}_SERVER="${${upper}_SERVER}")
    endif()
endfunction()

cluster_bus_test(redis hiredis/async.h hiredis redis-server)
cluster_bus_test(nats nats/nats.h nats nats-server)
