"""apigen API_FOLDER OUT_FOLDER: turns api/*.api into tables and typed accessors (cmake/generate.cmake runs it).

A file whose text has not changed is not written, so that nothing is compiled again needlessly.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import accessors  # noqa: E402
import model  # noqa: E402
import names  # noqa: E402
import tables  # noqa: E402


def write(folder, name, text):
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    source, out = sys.argv[1:3]
    try:
        everything = model.Model(source)
    except model.ApiError as error:
        sys.exit(str(error))
    known = names.Names(everything, source)
    write(out, "document/names.h", known.header())
    write(out, "document/names_table.h", known.table_header())
    write(out, "document/names_sorted.h", known.sorted_header())
    write(out, "names.gen.cpp", known.source())
    for api in everything.apis.values():
        write(out, f"tables/{api.symbol}.inc", tables.source(api, known))
        write(out, f"api/{api.symbol}.h", accessors.header(api, everything))
    for name, text in tables.units(everything):
        write(out, f"tables/{name}.gen.cpp", text)
    write(out, "tables/registry.gen.cpp", tables.registry(everything))


main()
