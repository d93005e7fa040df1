# api/*.api -> ${CMAKE_BINARY_DIR}/generated: document/names.h, names.gen.cpp, tables/*.gen.cpp (KYBERN_TABLES), api/*.h
# (typed accessors).
# tools/apigen leaves a file alone whose text would not change, so only what is affected is compiled again.
set(KYBERN_GENERATED ${CMAKE_BINARY_DIR}/generated)
file(GLOB KYBERN_API_FILES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/api/*.api)
file(GLOB KYBERN_APIGEN CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tools/apigen/*.py)

set(KYBERN_TABLES)
foreach(unit tables_core tables_rest tables_wire registry)
  list(APPEND KYBERN_TABLES ${KYBERN_GENERATED}/tables/${unit}.gen.cpp)
endforeach()
set(KYBERN_GENERATED_FILES ${KYBERN_GENERATED}/names.gen.cpp ${KYBERN_GENERATED}/document/names.h
  ${KYBERN_GENERATED}/document/names_table.h ${KYBERN_GENERATED}/document/names_sorted.h)
foreach(file ${KYBERN_API_FILES})
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "\\.api$" "" name ${name})
  string(REGEX REPLACE "[.-]" "_" name ${name})
  list(APPEND KYBERN_GENERATED_FILES ${KYBERN_GENERATED}/tables/${name}.inc ${KYBERN_GENERATED}/api/${name}.h)
endforeach()

add_custom_command(
  OUTPUT ${KYBERN_GENERATED}/apigen.stamp
  BYPRODUCTS ${KYBERN_TABLES} ${KYBERN_GENERATED_FILES}
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/apigen ${CMAKE_SOURCE_DIR}/api ${KYBERN_GENERATED}
  COMMAND ${CMAKE_COMMAND} -E touch ${KYBERN_GENERATED}/apigen.stamp
  DEPENDS ${KYBERN_API_FILES} ${KYBERN_APIGEN} ${CMAKE_SOURCE_DIR}/api/words
  COMMENT "Generating tables and accessors from api/"
  VERBATIM)
add_custom_target(generated_api DEPENDS ${KYBERN_GENERATED}/apigen.stamp)
