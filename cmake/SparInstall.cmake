# cmake --install: spard, spar and the LibTorch libraries they load, in a folder
# that can be moved (bin/, lib/), with the shipped model and its decomposition in
# share/spar/.
set(origin_rpath "$ORIGIN/../lib")
set_target_properties(spard spar PROPERTIES INSTALL_RPATH ${origin_rpath})

install(TARGETS spard spar RUNTIME_DEPENDENCY_SET spar_dependencies)
install(RUNTIME_DEPENDENCY_SET spar_dependencies
  PRE_EXCLUDE_REGEXES "^ld-linux" "^libcuda\\.so"
  POST_EXCLUDE_REGEXES "^/lib/" "^/usr/lib/"
  DIRECTORIES ${SPAR_TORCH_LIB_DIR})
install(DIRECTORY
  ${PROJECT_SOURCE_DIR}/models/demo/model ${PROJECT_SOURCE_DIR}/models/demo/decomposition
  DESTINATION share/spar/demo)
