# Language level, warnings, sanitizers, ccache and the linker.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(SPAR_CCACHE ccache)
if(SPAR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SPAR_CCACHE})
endif()

find_program(SPAR_MOLD mold)
if(SPAR_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(SPAR_SANITIZE)
  add_compile_options(-fsanitize=${SPAR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SPAR_SANITIZE})
endif()

# Coroutine tail calls must not grow the stack in unoptimised builds.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-foptimize-sibling-calls)
endif()
