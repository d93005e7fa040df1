#include "machinery/cel/format.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/civil.h"
#include "machinery/cel/numbers.h"

namespace kybern::cel {

namespace {

constexpr int precision_max = 1000;

// A value as %s shows it: texts plain, containers in brackets, maps in the order of their keys.
bool show(Evaluation& e, const Val& v, std::string& out, int depth = 0) {
  if (depth > 100 || out.size() > Evaluation::memory_max_bytes) return false;
  switch (v.tag) {
    case Tag::null: out += "null"; return true;
    case Tag::boolean: out += v.boolean ? "true" : "false"; return true;
    case Tag::integer: out += fmt::format("{}", v.integer); return true;
    case Tag::uint: out += fmt::format("{}", v.uint); return true;
    case Tag::number: out += number_text(v.number); return true;
    case Tag::string:
    case Tag::bytes: out += v.str(); return true;
    case Tag::timestamp: out += format_instant(v.time); return true;
    case Tag::duration: out += duration_seconds_text(v.integer); return true;
    case Tag::type: out += v.type->str(); return true;
    case Tag::list:
      out += '[';
      for (std::size_t i = 0; i < e.length(v); ++i) {
        if (i) out += ", ";
        if (!show(e, e.at(v, i), out, depth + 1)) return false;
      }
      out += ']';
      return true;
    case Tag::map: {
      std::vector<std::pair<std::string, Val>> entries;
      for (std::size_t i = 0; i < e.length(v); ++i) {
        std::string key;
        if (!show(e, e.key_at(v, i), key, depth + 1)) return false;
        entries.emplace_back(std::move(key), e.value_at(v, i));
      }
      std::ranges::sort(entries, {}, &std::pair<std::string, Val>::first);
      out += '{';
      for (std::size_t i = 0; i < entries.size(); ++i) {
        out += (i ? ", " : "") + entries[i].first + ": ";
        if (!show(e, entries[i].second, out, depth + 1)) return false;
      }
      out += '}';
      return true;
    }
    default: return false;
  }
}

std::string hex(std::string_view bytes, bool upper) {
  std::string out;
  for (char c : bytes)
    out += upper ? fmt::format("{:02X}", static_cast<unsigned char>(c)) : fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

Val wrong_kind(Evaluation& e, std::string_view clause, const Val& v) {
  return e.error(fmt::format("error during formatting: {} clause can only be used on {}, was given {}", clause,
                             clause == "decimal"                                 ? "integers"
                             : clause == "octal"                                 ? "integers"
                             : clause == "fixed-point" || clause == "scientific" ? "doubles"
                                                                                 : "integers, byte buffers, and strings",
                             type_name(v)));
}

// One clause: %[.precision]verb. The result is an error or anything else.
Val clause(Evaluation& e, char verb, int precision, const Val& v, std::string& out) {
  auto signed_base = [&](std::string_view spec, std::string_view name) {
    if (v.tag == Tag::integer) out += fmt::format(fmt::runtime(fmt::format("{{:{}}}", spec)), v.integer);
    else if (v.tag == Tag::uint) out += fmt::format(fmt::runtime(fmt::format("{{:{}}}", spec)), v.uint);
    else if (v.tag == Tag::boolean && spec == "b") out += v.boolean ? "1" : "0";
    else return wrong_kind(e, name, v);
    return Val();
  };
  switch (verb) {
    case 's':
      if (!show(e, v, out)) return e.error(fmt::format("error during formatting: could not convert argument {} to string", type_name(v)));
      return Val();
    case 'd':
      if (v.tag == Tag::number) {
        out += number_text(v.number);
        return Val();
      }
      return signed_base("d", "decimal");
    case 'b': return signed_base("b", "binary");
    case 'o': return signed_base("o", "octal");
    case 'x':
    case 'X':
      if (v.tag == Tag::string || v.tag == Tag::bytes) {
        out += hex(v.str(), verb == 'X');
        return Val();
      }
      return signed_base(verb == 'X' ? "X" : "x", "hex");
    case 'f':
    case 'e': {
      double number = v.tag == Tag::number    ? v.number
                      : v.tag == Tag::integer ? static_cast<double>(v.integer)
                                              : static_cast<double>(v.uint);
      if (v.tag != Tag::number && v.tag != Tag::integer && v.tag != Tag::uint)
        return wrong_kind(e, verb == 'f' ? "fixed-point" : "scientific", v);
      out += verb == 'f' ? fixed_text(number, precision) : exponent_text(number, precision);
      return Val();
    }
    default: return e.error(fmt::format("could not parse formatting clause: unrecognized formatting clause \"{}\"", verb));
  }
}

}  // namespace

Val format_text(Evaluation& e, std::string_view format, const Val& args) {
  std::string out;
  std::size_t next = 0, given = e.length(args);
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (++i >= format.size()) return e.error("unexpected end of string");
    if (format[i] == '%') {
      out += '%';
      continue;
    }
    int precision = 6;
    if (format[i] == '.') {
      precision = 0;
      for (++i; i < format.size() && std::isdigit(static_cast<unsigned char>(format[i])); ++i) {
        precision = precision * 10 + (format[i] - '0');
        if (precision > precision_max)
          return e.error("could not parse formatting clause: error while parsing precision: precision too large");
      }
      if (i >= format.size()) return e.error("could not find end of precision specifier");
    }
    if (next >= given) return e.error(fmt::format("index {} out of range", next));
    Val problem = clause(e, format[i], precision, e.at(args, next++), out);
    if (problem.is_error()) return problem;
    if (!e.reserve(out.size())) return e.no_overload();
  }
  if (next < given) return e.error(fmt::format("too many arguments supplied to string.format (expected {}, got {})", next, given));
  return e.string(out);
}

}  // namespace kybern::cel
