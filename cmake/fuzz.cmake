# KYBERN_FUZZ: every src/**/x_fuzz.cpp becomes the program x_fuzz, with the rooms' code instrumented and a driver that changes
# inputs (tests/fuzz/driver.cpp). tools/fuzz.sh builds and runs them.
option(KYBERN_FUZZ "Build the fuzzers" OFF)

function(kybern_instrumented target)
  if(KYBERN_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize-coverage=trace-pc)
  endif()
endfunction()

function(kybern_fuzzers)
  if(NOT KYBERN_FUZZ)
    return()
  endif()
  add_library(fuzz_driver OBJECT tests/fuzz/driver.cpp)
  target_compile_options(fuzz_driver PRIVATE -O2 -fno-sanitize=all)  # it looks through its map after every input
  file(GLOB_RECURSE entries CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*_fuzz.cpp)
  add_custom_target(fuzzers)
  foreach(entry ${entries})
    get_filename_component(name ${entry} NAME_WE)
    file(RELATIVE_PATH room ${CMAKE_SOURCE_DIR}/src ${entry})
    string(REGEX REPLACE "/.*" "" room ${room})
    add_executable(${name} ${entry} $<TARGET_OBJECTS:fuzz_driver>)
    target_link_libraries(${name} PRIVATE ${room})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
    add_dependencies(fuzzers ${name})
  endforeach()
endfunction()
