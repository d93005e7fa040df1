# The common headers, compiled once for each set of flags: 40 % of the compiling of a full build. KYBERN_PCH=OFF shows
# whether each source includes what it uses.
option(KYBERN_PCH "Compile the common headers once" ON)

# kybern_precompiled(TARGET KIND): TARGET's sources start from the precompiled headers of KIND: plain, optimised (the
# rooms that are -O2 in every configuration and -O3 in a release) or test (a room's tests).
function(kybern_precompiled target kind)
  if(KYBERN_PCH)
    target_precompile_headers(${target} REUSE_FROM precompiled_${kind})
  endif()
endfunction()

# Files spend half of their compiling on what their neighbours instantiate too: those of a folder are compiled together, up
# to five at once. KYBERN_UNITY=OFF compiles each by itself.
option(KYBERN_UNITY "Compile several sources of a folder at once" ON)
function(kybern_unity target)
  if(NOT KYBERN_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    get_filename_component(folder ${source} DIRECTORY)
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} "${folder}/x")
    string(MAKE_C_IDENTIFIER ${folder} folder)
    math(EXPR group "${members_${folder}}+0")
    math(EXPR members_${folder} "${group}+1")
    math(EXPR group "${group}/5")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder}_${group})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # gcc takes what a source includes for a header
endfunction()

# kybern_options(TARGET KIND): the flags that KIND has beside the configuration's.
function(kybern_options target kind)
  if(kind STREQUAL "optimised")
    target_compile_options(${target} PRIVATE $<IF:$<CONFIG:Release>,-O3,-O2>)  # -O3 makes gcc 12 warn wrongly
  elseif(kind STREQUAL "test")  # a test's own code is compiled once and run once
    target_compile_options(${target} PRIVATE $<$<NOT:$<CONFIG:Release>>:-O0>)
    if(NOT KYBERN_SANITIZE)  # a fifth of its compiling; a failed assertion tells its line without
      target_compile_options(${target} PRIVATE $<$<CONFIG:Dev>:-g0>)
    endif()
  endif()
endfunction()

# FMT_SHARED means something to MSVC alone; a macro that some targets have and some have not would forbid sharing.
set_property(TARGET fmt::fmt PROPERTY INTERFACE_COMPILE_DEFINITIONS "")

set(kinds plain optimised)
if(KYBERN_TESTS)
  list(APPEND kinds test)
endif()
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/precompiled.cpp CONTENT "")
foreach(kind ${kinds})
  add_library(precompiled_${kind} OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/precompiled.cpp)
  target_include_directories(precompiled_${kind} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(precompiled_${kind} PRIVATE fmt::fmt)
  add_dependencies(precompiled_${kind} generated_api)
  kybern_options(precompiled_${kind} ${kind})
  target_precompile_headers(precompiled_${kind} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
endforeach()
if(KYBERN_TESTS)
  target_link_libraries(precompiled_test PRIVATE GTest::gtest)
  target_precompile_headers(precompiled_test PRIVATE <gtest/gtest.h>)
endif()
