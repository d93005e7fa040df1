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

# Files spend half of their compiling on what their neighbours instantiate too: those of a target are compiled eight at
# once. KYBERN_UNITY=OFF compiles each by itself.
option(KYBERN_UNITY "Compile several sources at once" ON)
function(kybern_unity target)
  if(KYBERN_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # gcc takes what a source includes for a header
  endif()
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
