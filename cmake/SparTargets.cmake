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

# spar_test(NAME SOURCES a.cc ... LINK lib ... [ENVIRONMENT K=V ...]): one
# GoogleTest binary, registered as one ctest.
function(spar_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;ENVIRONMENT" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} spar_warnings GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "OMP_NUM_THREADS=1;${ARG_ENVIRONMENT}")
endfunction()
