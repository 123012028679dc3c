# spar_library, spar_executable and spar_test: our own code, with warnings as
# errors and the repository root as the one include directory.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)

add_library(spar_warnings INTERFACE)
target_compile_options(spar_warnings INTERFACE -Wall -Wextra -Wshadow -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(spar_warnings INTERFACE -Wthread-safety)
endif()

# spar_library(NAME SOURCES a.cc ... [PUBLIC lib ...] [PRIVATE lib ...])
function(spar_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} spar_warnings)
endfunction()

# spar_executable(NAME SOURCES a.cc ... LINK lib ...)
function(spar_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} spar_warnings)
endfunction()

# spar_test(NAME SOURCES a.cc ... LINK lib ... [ENVIRONMENT K=V ...] [COST SECONDS]
#           [SANITIZED_FILTER FILTER]): one GoogleTest binary, registered as one
# ctest. Nobody includes a test, so its files are compiled as one, and cheaply.
# COST: its seconds, where they are many: the longest tests start first.
# SANITIZED_FILTER: the GoogleTest filter of builds with sanitizers, for suites
# that repeat the same code over shapes; the release build runs all of them.
function(spar_test name)
  cmake_parse_arguments(ARG "" "COST;SANITIZED_FILTER" "SOURCES;LINK;ENVIRONMENT" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  target_link_libraries(${name} PRIVATE ${ARG_LINK} spar_warnings GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set(environment OMP_NUM_THREADS=1 ${ARG_ENVIRONMENT})
  if(SPAR_SANITIZE AND ARG_SANITIZED_FILTER)
    list(APPEND environment "GTEST_FILTER=${ARG_SANITIZED_FILTER}")
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "${environment}")
  if(ARG_COST)
    set_tests_properties(${name} PROPERTIES COST ${ARG_COST})
  endif()
endfunction()
