# Read by ctest when it starts: makes one test of every doctest case in ${program}, named "<suite>: <case>".
# Discovering here and not in the build keeps a program that cannot start from failing the build.

if(NOT EXISTS "${program}")
    add_test("${program} is built" "${program}") # fails, and says what is not there
    return()
endif()
execute_process(
    COMMAND "${program}" --list-test-cases --reporters=xml
    OUTPUT_VARIABLE listing RESULT_VARIABLE status TIMEOUT 60
)
if(NOT status EQUAL 0)
    add_test("${program} lists its cases" "${program}" --list-test-cases)
    set_tests_properties("${program} lists its cases" PROPERTIES LABELS "${labels}" TIMEOUT 60)
    return()
endif()

# doctest's filters know `?` for any one character: it stands for those that CMake or the filter itself would read.
string(REPLACE "&lt;" "<" listing "${listing}")
string(REPLACE "&amp;" "&" listing "${listing}")
string(REPLACE "&quot;" "?" listing "${listing}")
foreach(special IN ITEMS "[" "]" "\\" "$" ";")
    string(REPLACE "${special}" "?" listing "${listing}")
endforeach()
string(REGEX MATCHALL "<TestCase name=\"[^\"]*\"( testsuite=\"[^\"]*\")?" cases "${listing}")
foreach(case IN LISTS cases)
    string(REGEX MATCH "name=\"([^\"]*)\"( testsuite=\"([^\"]*)\")?" matched "${case}")
    set(case_name "${CMAKE_MATCH_1}")
    set(suite "${CMAKE_MATCH_3}")
    string(REPLACE "," "?" case_filter "${case_name}")
    string(REPLACE "?" "" name "${suite}: ${case_name}")
    string(REGEX REPLACE "^: " "" name "${name}")
    if(threads_only) # support/every_backend.hpp names them
        string(FIND "${listing}" "name=\"${case_name} on threads\"" twin)
        if(NOT twin EQUAL -1 OR case_name MATCHES " on forks$")
            continue()
        endif()
    endif()
    add_test("${name}" "${program}" "--test-suite=${suite}" "--test-case=${case_filter}")
    set_tests_properties(
        "${name}" PROPERTIES
        LABELS "${labels}" TIMEOUT ${timeout}
        FAIL_REGULAR_EXPRESSION "test cases: +0 " # a filter that meets no case must not pass for a success
    )
endforeach()
