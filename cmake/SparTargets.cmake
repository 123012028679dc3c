# spar_library, spar_executable and spar_test: our own code, with warnings as
# errors and the repository root as the one include directory.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)

add_library(spar_warnings INTERFACE)
target_compile_options(spar_warnings INTERFACE -Wall -Wextra -Wshadow -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(spar_warnings INTERFACE -Wthread-safety)
else()
  # Means headers; of files compiled as one it would take each for one.
  target_compile_options(spar_warnings INTERFACE -Wno-subobject-linkage)
endif()

# spar_unite(OUT NAME FILE ...): OUT is what to compile for the sources FILE of
# the target NAME: up to sixteen of them as one, so that what they all include is
# read once. So names at file scope differ within a target; a file with the property
# SKIP_UNITY_BUILD_INCLUSION is set apart. What includes them reads the same in
# every clone, so that clones share a compiler cache: CMake's own UNITY_BUILD
# names whole paths.
function(spar_unite out name)
  set(apart)
  foreach(file ${ARGN})
    get_source_file_property(alone ${file} SKIP_UNITY_BUILD_INCLUSION)
    if(alone)
      list(APPEND apart ${file})
      list(REMOVE_ITEM ARGN ${file})
    endif()
  endforeach()
  set(units)
  set(number 0)
  while(ARGN)
    list(SUBLIST ARGN 0 16 batch)
    list(REMOVE_ITEM ARGN ${batch})
    set(includes)
    foreach(file ${batch})
      cmake_path(ABSOLUTE_PATH file)
      cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
      string(APPEND includes "#include \"${file}\"\n")
    endforeach()
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/united/${name}_${number}.cc)
    file(CONFIGURE OUTPUT ${unit} CONTENT "${includes}" @ONLY)
    list(APPEND units ${unit})
    math(EXPR number "${number} + 1")
  endwhile()
  set(${out} ${units} ${apart} PARENT_SCOPE)
endfunction()

# Code that waits for others more than it computes: half of its compiling would
# be optimising.
function(spar_compile_cheaply name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Debug>:-O0>)
endfunction()

# spar_library(NAME [CHEAP] SOURCES a.cc ... [PUBLIC lib ...] [PRIVATE lib ...])
function(spar_library name)
  cmake_parse_arguments(ARG "CHEAP" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  if(SPAR_UNITED)
    spar_unite(ARG_SOURCES ${name} ${ARG_SOURCES})
  endif()
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} spar_warnings)
  if(ARG_CHEAP)
    spar_compile_cheaply(${name})
  endif()
endfunction()

# spar_executable(NAME [CHEAP] SOURCES a.cc ... LINK lib ...)
function(spar_executable name)
  cmake_parse_arguments(ARG "CHEAP" "" "SOURCES;LINK" ${ARGN})
  if(SPAR_UNITED)
    spar_unite(ARG_SOURCES ${name} ${ARG_SOURCES})
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} spar_warnings)
  if(ARG_CHEAP)
    spar_compile_cheaply(${name})
  endif()
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
  spar_unite(sources ${name} ${ARG_SOURCES})
  add_executable(${name} ${sources})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  spar_compile_cheaply(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} spar_warnings GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
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
