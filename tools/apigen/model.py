"""Reads api/*.api (the format is explained in api/README.md) into plain objects."""

import os
import re
import sys

SCALARS = {
    "bool": "boolean", "int32": "int32", "int64": "int64", "float64": "float64", "string": "string", "bytes": "bytes",
    "time": "time", "micro_time": "micro_time", "duration": "duration", "quantity": "quantity",
    "int_or_string": "int_or_string", "raw": "raw", "fields_v1": "fields_v1", "json": "json",
    "json_or_array": "json_or_array", "json_or_bool": "json_or_bool", "json_or_strings": "json_or_strings",
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
TOKEN = re.compile(r'[^\s"]*"(?:[^"\\]|\\.)*"|\S+')


class ApiError(Exception):
    pass


class Enum:
    def __init__(self, name, mode):
        self.name, self.mode, self.values = name, mode, []  # mode: closed, open, numbers


class Field:
    """One line of a type, after resolving names. `path` is the chain of enclosing inline messages' numbers."""

    def __init__(self):
        self.name = ""
        self.wire = 0
        self.path = ()
        self.scalar = "object"
        self.shape = "single"
        self.type = None        # Type of an object
        self.enum = None        # Enum of a string or number
        self.pointer = self.omit_empty = self.required = self.wrapped = False
        self.merge = self.retain_keys = self.replace = self.atomic = self.granular = self.discriminator = False
        self.list_type = "unset"
        self.list_keys = []
        self.patch_key = ""
        self.default = ""
        self.gate = ""
        self.alias = ""         # of a named string or map: v1.RestartPolicy
        self.oneof = ""
        self.description = ""

    def clone(self):
        other = Field()
        other.__dict__.update(self.__dict__)
        return other


class Type:
    def __init__(self, api, name):
        self.api, self.name = api, name
        self.kind = self.list = self.atomic = False
        self.lines = []         # (line number, tokens, description)
        self.fields = None
        self.inlined = []       # (number, Type)
        self.description = ""

    @property
    def short_name(self):
        return self.api.name + "." + self.name

    @property
    def openapi(self):
        return (self.api.openapi or self.api.name) + "." + self.name

    @property
    def symbol(self):
        return self.api.symbol + "_" + self.name


class Resource:
    def __init__(self, api, plural, singular, kind, namespaced):
        self.api, self.plural, self.singular, self.kind, self.namespaced = api, plural, singular, kind, namespaced
        self.verbs, self.short, self.categories, self.subresources, self.columns = [], [], [], [], []


class Service:
    def __init__(self, name):
        self.name, self.rpcs = name, []  # (name, client streams, request, server streams, response)


class Api:
    def __init__(self, path):
        self.path = path
        self.name = self.group = self.version = self.openapi = ""
        self.proto3 = False
        self.types, self.enums, self.aliases, self.resources, self.services = {}, {}, {}, [], []

    @property
    def symbol(self):
        return self.name.replace(".", "_").replace("-", "_")


def read(path):
    """One file into an Api; types are resolved later, when every file has been read."""
    api = Api(path)
    block = None
    last = None  # where a description line goes

    def fail(number, why):
        raise ApiError(f"{path}:{number}: {why}")

    def on_off(number, tokens, count):
        if len(tokens) < count:
            fail(number, f"`{tokens[0]}` needs {count - 1} words")

    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] == "#":
            continue
        indented = line[0] == " "
        if indented and text[0] == ":":
            if last is None:
                fail(number, "a description without a subject")
            words = text[1:].strip()
            if isinstance(last, list):
                last[2] = (last[2] + " " + words).strip()
            elif isinstance(last, dict):
                last["description"] = (last["description"] + " " + words).strip()
            else:
                last.description = (last.description + " " + words).strip()
            continue
        tokens = TOKEN.findall(text)
        if not indented:
            word = tokens[0]
            block = last = None
            if word in ("api", "group", "version", "openapi"):
                on_off(number, tokens, 2)
                setattr(api, "name" if word == "api" else word, tokens[1].strip('"'))
            elif word == "proto3":
                api.proto3 = True
            elif word == "alias":
                on_off(number, tokens, 3)
                api.aliases[tokens[1]] = (tokens[2], "wrapped" in tokens[3:])
            elif word == "enum":
                on_off(number, tokens, 3)
                if tokens[2] not in ("closed", "open", "numbers"):
                    fail(number, "an enum is closed, open or numbers")
                block = api.enums[tokens[1]] = Enum(tokens[1], tokens[2])
            elif word == "resource":
                on_off(number, tokens, 5)
                block = Resource(api, tokens[1], tokens[2], tokens[3], tokens[4] == "namespaced")
                api.resources.append(block)
            elif word == "service":
                on_off(number, tokens, 2)
                block = Service(tokens[1])
                api.services.append(block)
            elif word in ("type", "kind"):
                on_off(number, tokens, 2)
                if tokens[1] in api.types:
                    fail(number, f"{tokens[1]} is there twice")
                block = last = api.types[tokens[1]] = Type(api, tokens[1])
                block.kind = word == "kind"
                for flag in tokens[2:]:
                    if flag not in ("list", "atomic"):
                        fail(number, f"unknown flag {flag}")
                    setattr(block, flag, True)
            else:
                fail(number, f"unknown word {word}")
        elif isinstance(block, Enum):
            if block.mode == "numbers":
                block.values.append((tokens[0], int(tokens[1])))
            else:
                block.values += ["" if token == '""' else token for token in tokens]
        elif isinstance(block, Service):
            rest = [token for token in tokens[2:]]
            client = rest[0] == "stream"
            rest = rest[1:] if client else rest
            server = rest[1] == "stream"
            block.rpcs.append((tokens[1], client, rest[0], server, rest[-1]))
        elif isinstance(block, Resource):
            word = tokens[0]
            if word == "verbs":
                block.verbs = VERBS if tokens[1:] == ["all"] else tokens[1:]
            elif word == "short":
                block.short = tokens[1:]
            elif word == "categories":
                block.categories = tokens[1:]
            elif word == "subresource":
                block.subresources.append((tokens[1], tokens[2], tokens[3:]))
            elif word == "column":
                last = {"name": tokens[1].strip('"'), "type": tokens[2], "format": "", "priority": 0, "description": ""}
                for flag in tokens[3:]:
                    if flag == "wide":
                        last["priority"] = 1
                    elif flag.startswith("format="):
                        last["format"] = flag[7:]
                    else:
                        fail(number, f"unknown flag {flag}")
                block.columns.append(last)
            else:
                fail(number, f"unknown word {word}")
        elif isinstance(block, Type):
            if len(tokens) < 3:
                fail(number, "a field is: name, wire number, type, flags")
            last = [number, tokens, ""]
            block.lines.append(last)
        else:
            fail(number, "an indented line without a block")
    if not api.name:
        raise ApiError(f"{path}: no `api` line")
    return api


class Model:
    """All group-versions, with every name resolved."""

    def __init__(self, folder):
        self.apis = {}
        for entry in sorted(os.listdir(folder)):
            if entry.endswith(".api"):
                api = read(os.path.join(folder, entry))
                self.apis[api.name] = api
        for api in self.apis.values():
            for base in [t for t in api.types.values() if t.list]:
                self.add_list(api, base)
        for api in self.apis.values():
            for type_ in api.types.values():
                self.fields_of(type_)

    def add_list(self, api, base):
        type_ = api.types[base.name + "List"] = Type(api, base.name + "List")
        type_.kind = True
        type_.description = f"A list of {base.name} objects."
        meta = "ListMeta" if api.name == "meta.v1" else "meta.v1.ListMeta"
        type_.lines = [[0, ["metadata", "1", meta, "always"], "What the server says about the list as a whole."],
                       [0, ["items", "2", "[]" + base.name, "required", "always"], "The objects."]]

    def lookup(self, api, name, where):
        """A type, enum or alias by `Name` (own file) or `core.v1.Name`."""
        home = api
        if "." in name:
            prefix, name = name.rsplit(".", 1)
            home = self.apis.get(prefix)
        if home is not None:
            for table in (home.types, home.enums, home.aliases):
                if name in table:
                    return home, table[name]
        raise ApiError(f"{where}: unknown type {name}")

    def resolve(self, field, api, text, where):
        if text.endswith("?"):
            field.pointer, text = True, text[:-1]
        if text.startswith("[]"):
            field.shape, text = "list", text[2:]
        elif text.startswith("map[string]"):
            field.shape, text = "map", text[11:]
        if text in SCALARS:
            field.scalar = SCALARS[text]
            if text.startswith("json_or"):  # each is a schema or something else
                field.type = self.apis["apiextensions.v1"].types["JSONSchemaProps"]
            return
        home, found = self.lookup(api, text, where)
        if isinstance(found, Enum):
            field.scalar, field.enum = ("int32" if found.mode == "numbers" else "string"), found
            field.enum_api = home
            field.alias = home.version + "." + found.name if home.version else ""
        elif isinstance(found, Type):
            field.scalar, field.type = "object", found
        else:
            target, wrapped = found
            field.wrapped = wrapped
            field.alias = home.version + "." + text.rsplit(".", 1)[-1]
            if wrapped and field.shape == "map":
                target = target[2:]
            shape = field.shape
            self.resolve(field, home, target, where)
            if shape != "single":
                field.shape = shape

    def fields_of(self, type_):
        if type_.fields is not None:
            return type_.fields
        type_.fields = []
        out = []
        if type_.kind:
            for name, text in (("apiVersion", "The group and version this object is written in, as group/version."),
                               ("kind", "The name of the type of this object.")):
                field = Field()
                field.name, field.scalar, field.omit_empty, field.description = name, "string", True, text
                out.append(field)
        for number, tokens, description in type_.lines:
            where = f"{type_.api.path}:{number}"
            name, wire, text = tokens[:3]
            if name == "inline":
                inner = self.lookup(type_.api, text, where)[1]
                type_.inlined.append((int(wire), inner))
                for field in self.fields_of(inner):
                    field = field.clone()
                    field.path = (int(wire),) + field.path
                    out.append(field)
                continue
            field = Field()
            field.name, field.wire, field.description = name, int(wire), description
            field.omit_empty = True
            self.resolve(field, type_.api, text, where)
            for flag in tokens[3:]:
                key, _, value = flag.partition("=")
                if key == "required":
                    field.required = True
                elif key == "always":
                    field.omit_empty = False
                elif key == "list":
                    field.list_type, _, keys = value.partition(":")
                    field.list_keys = keys.split(",") if keys else []
                elif key == "patch":
                    words, _, field.patch_key = value.partition(":")
                    field.merge = "merge" in words.split(",")
                    field.retain_keys = "retainKeys" in words.split(",")
                    field.replace = words == "replace"
                elif key in ("atomic", "granular", "discriminator"):
                    setattr(field, key, True)
                elif key == "default":
                    field.default = value
                elif key in ("gate", "oneof"):
                    setattr(field, key, value)
                else:
                    raise ApiError(f"{where}: unknown flag {flag}")
            if field.shape == "single" and field.type and field.type.atomic and not field.granular:
                field.atomic = True
            out.append(field)
        out.sort(key=lambda field: (field.path + (field.wire,)) if field.wire else (0,))
        seen = set()
        for field in out:
            if field.name in seen:
                raise ApiError(f"{type_.short_name}: {field.name} is there twice")
            seen.add(field.name)
        type_.fields = out
        return out
