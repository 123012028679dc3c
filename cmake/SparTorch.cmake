# Finds LibTorch: SPAR_TORCH_DIR (environment or cache: a LibTorch or torch
# package folder), else the torch wheel of the virtual environment.
set(SPAR_TORCH_DIR "$ENV{SPAR_TORCH_DIR}" CACHE PATH "LibTorch >= 2.6 (empty: the virtual environment's wheel)")

if(SPAR_TORCH_DIR)
  list(PREPEND CMAKE_PREFIX_PATH ${SPAR_TORCH_DIR})
else()
  include(SparPython)
  execute_process(
    COMMAND ${SPAR_PYTHON} -c "import torch; print(torch.utils.cmake_prefix_path)"
    OUTPUT_VARIABLE SPAR_TORCH_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
  list(PREPEND CMAKE_PREFIX_PATH ${SPAR_TORCH_PREFIX})
endif()
find_package(Torch 2.6 REQUIRED)
get_filename_component(SPAR_TORCH_LIB_DIR "${TORCH_LIBRARY}" DIRECTORY)
set(SPAR_TORCH_LIB_DIR "${SPAR_TORCH_LIB_DIR}" CACHE INTERNAL "LibTorch's shared libraries")
