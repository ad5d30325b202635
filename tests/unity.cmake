# cluster_unity_namespace(<variable> <source>): the namespace that cluster_unity puts it into.
function(cluster_unity_namespace variable source)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE path)
    cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE relative)
    string(MAKE_C_IDENTIFIER "unity_${relative}" namespace)
    set(${variable} ${namespace} PARENT_SCOPE)
endfunction()

# cluster_unity(<variable> <name> <number of files> <source>...): writes files that read several sources each, and sets
# the variable to what is to be compiled instead of the sources. What all of them share, the headers and the templates
# that they instantiate, is then paid for once per file and not once per source.
#
# A source knows nothing of it: what it includes is read before it, at global scope, where all headers are guarded,
# and the source itself in a namespace of its own, so that no name can meet another source's.
function(cluster_unity variable name count)
    set(directory ${CMAKE_CURRENT_BINARY_DIR}/unity)
    math(EXPR last "${count} - 1")
    foreach(i RANGE ${last})
        set(includes_${i} "")
        set(bodies_${i} "")
        set(size_${i} 0)
    endforeach()
    set(files "")
    foreach(source IN LISTS ARGN)
        get_source_file_property(alone ${source} SKIP_UNITY_BUILD_INCLUSION)
        if(alone)
            list(APPEND files ${source})
            continue()
        endif()
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE path)
        # To the file that has least so far: their times should be about the same.
        set(least 0)
        foreach(i RANGE ${last})
            if(size_${i} LESS size_${least})
                set(least ${i})
            endif()
        endforeach()
        file(SIZE ${path} size)
        math(EXPR size_${least} "${size_${least}} + ${size}")

        cmake_path(GET path PARENT_PATH folder)
        file(STRINGS ${path} lines REGEX "^#include ")
        foreach(line IN LISTS lines)
            string(REGEX REPLACE "^(#include [<\"][^>\"]+[>\"]).*" "\\1" line "${line}")
            if(line MATCHES "\"(.*)\"")
                if(EXISTS "${folder}/${CMAKE_MATCH_1}") # else it is found as one of <>
                    set(line "#include \"${folder}/${CMAKE_MATCH_1}\"")
                endif()
            endif()
            list(APPEND includes_${least} "${line}")
        endforeach()
        cluster_unity_namespace(namespace ${path})
        string(APPEND bodies_${least} "namespace ${namespace} {\n#include \"${path}\"\n}\n")
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    endforeach()
    foreach(i RANGE ${last})
        list(REMOVE_DUPLICATES includes_${i})
        list(JOIN includes_${i} "\n" includes)
        file(CONFIGURE OUTPUT ${directory}/${name}_${i}.cpp CONTENT "@includes@\n@bodies_${i}@" @ONLY)
        list(APPEND files ${directory}/${name}_${i}.cpp)
    endforeach()
    set(${variable} ${files} PARENT_SCOPE)
endfunction()

# cluster_unity_programs(<variable> <name> <number of files> <source>...): programs, each of which has the code of all,
# so that the library is compiled a few times and not once for each. Makes the object library <name>_together, and sets
# the variable to the file to compile in place of each source: for most their main(), in a file of the same name that
# wants the library's objects, which its property CLUSTER_TOGETHER says.
function(cluster_unity_programs variable name count)
    set(together "")
    set(mains "")
    foreach(source IN LISTS ARGN)
        get_source_file_property(alone ${source} SKIP_UNITY_BUILD_INCLUSION)
        if(alone)
            list(APPEND mains ${source})
            continue()
        endif()
        list(APPEND together ${source})
        cluster_unity_namespace(namespace ${source})
        cmake_path(GET source STEM stem)
        set(main ${CMAKE_CURRENT_BINARY_DIR}/${name}/${stem}.cpp)
        file(CONFIGURE OUTPUT ${main} @ONLY CONTENT "namespace @namespace@ {
int main(int argc, char** argv);
}
int main(int argc, char** argv) {
    return @namespace@::main(argc, argv);
}
")
        set_source_files_properties(${main} PROPERTIES CLUSTER_TOGETHER ON)
        list(APPEND mains ${main})
    endforeach()
    cluster_unity(units ${name} ${count} ${together})
    add_library(${name}_together OBJECT ${units})
    set(${variable} ${mains} PARENT_SCOPE)
endfunction()
