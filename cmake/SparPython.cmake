# SPAR_PYTHON: the virtual environment's interpreter.
# spar_python_test: a Python program as one ctest, run by the interpreter of the
# virtual environment (the one that holds torch, transformers and tokenizers).

set(spar_venv ${PROJECT_SOURCE_DIR}/.venv)
if(DEFINED ENV{VIRTUAL_ENV})
  set(spar_venv $ENV{VIRTUAL_ENV})
endif()
find_program(SPAR_PYTHON python3 PATHS ${spar_venv}/bin NO_DEFAULT_PATH REQUIRED)

# spar_python_test(NAME SCRIPT [COST SECONDS] [ARG ...]): SCRIPT is relative to the current
# source folder. It passes when the script exits with 0. Arguments may hold
# generator expressions, for example $<TARGET_FILE:spard>.
# COST: its seconds, where they are many: the longest tests start first.
function(spar_python_test name script)
  cmake_parse_arguments(ARG "" "COST" "" ${ARGN})
  add_test(NAME ${name}
    COMMAND ${SPAR_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARG_UNPARSED_ARGUMENTS}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 2400
    ENVIRONMENT "OMP_NUM_THREADS=1;HF_HUB_OFFLINE=1;TOKENIZERS_PARALLELISM=false;PYTHONDONTWRITEBYTECODE=1")
  if(ARG_COST)
    set_tests_properties(${name} PROPERTIES COST ${ARG_COST})
  endif()
endfunction()
