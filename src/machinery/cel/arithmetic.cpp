#include "machinery/cel/arithmetic.h"

#include <cmath>
#include <cstring>

#include "machinery/cel/civil.h"

namespace kybern::cel {

namespace {

constexpr std::int64_t second_nanos = 1'000'000'000;

Val moved(Evaluation& e, Instant64 time, std::int64_t nanos) {
  std::int64_t seconds = nanos / second_nanos, rest = nanos % second_nanos + time.nanos;
  if (rest < 0) rest += second_nanos, --seconds;
  if (rest >= second_nanos) rest -= second_nanos, ++seconds;
  Instant64 out{time.seconds + seconds, static_cast<std::int32_t>(rest)};
  return in_range(out) ? Val::of_time(out) : e.overflow("timestamp");
}

Val joined(Evaluation& e, const Val& a, const Val& b) {
  if (!e.reserve(a.text.size + b.text.size)) return e.no_overload();
  char* room = static_cast<char*>(e.allocate(a.text.size + b.text.size));
  std::memcpy(room, a.text.data, a.text.size);
  if (b.text.size) std::memcpy(room + a.text.size, b.text.data, b.text.size);
  return Val::of(std::string_view(room, a.text.size + b.text.size), a.tag);
}

template <class F>
Val integers(Evaluation& e, const Val& a, const Val& b, F checked) {
  std::int64_t out = 0;
  return checked(a.integer, b.integer, &out) ? e.overflow("integer") : Val::of(out);
}
template <class F>
Val uints(Evaluation& e, const Val& a, const Val& b, F checked) {
  std::uint64_t out = 0;
  return checked(a.uint, b.uint, &out) ? e.overflow("unsigned integer") : Val::of_uint(out);
}

}  // namespace

Val add(Evaluation& e, const Val& a, const Val& b) {
  if (a.tag == b.tag) {
    switch (a.tag) {
      case Tag::integer: return integers(e, a, b, [](auto x, auto y, auto* o) { return __builtin_add_overflow(x, y, o); });
      case Tag::uint: return uints(e, a, b, [](auto x, auto y, auto* o) { return __builtin_add_overflow(x, y, o); });
      case Tag::number: return Val::of(a.number + b.number);
      case Tag::string:
      case Tag::bytes: return joined(e, a, b);
      case Tag::list: return e.concatenate(a, b);
      case Tag::duration: {
        std::int64_t out = 0;
        return __builtin_add_overflow(a.integer, b.integer, &out) ? e.overflow("duration") : Val::of_duration(out);
      }
      default: return e.no_overload();
    }
  }
  if (a.tag == Tag::timestamp && b.tag == Tag::duration) return moved(e, a.time, b.integer);
  if (a.tag == Tag::duration && b.tag == Tag::timestamp) return moved(e, b.time, a.integer);
  return e.no_overload();
}

Val subtract(Evaluation& e, const Val& a, const Val& b) {
  if (a.tag == b.tag) {
    switch (a.tag) {
      case Tag::integer: return integers(e, a, b, [](auto x, auto y, auto* o) { return __builtin_sub_overflow(x, y, o); });
      case Tag::uint: return uints(e, a, b, [](auto x, auto y, auto* o) { return __builtin_sub_overflow(x, y, o); });
      case Tag::number: return Val::of(a.number - b.number);
      case Tag::duration: {
        std::int64_t out = 0;
        return __builtin_sub_overflow(a.integer, b.integer, &out) ? e.overflow("duration") : Val::of_duration(out);
      }
      case Tag::timestamp: {
        std::int64_t out = 0;
        bool over = __builtin_mul_overflow(a.time.seconds - b.time.seconds, second_nanos, &out) ||
                    __builtin_add_overflow(out, static_cast<std::int64_t>(a.time.nanos) - b.time.nanos, &out);
        return over ? e.overflow("duration") : Val::of_duration(out);
      }
      default: return e.no_overload();
    }
  }
  if (a.tag == Tag::timestamp && b.tag == Tag::duration && b.integer != INT64_MIN) return moved(e, a.time, -b.integer);
  return e.no_overload();
}

Val multiply(Evaluation& e, const Val& a, const Val& b) {
  if (a.tag != b.tag) return e.no_overload();
  if (a.tag == Tag::integer) return integers(e, a, b, [](auto x, auto y, auto* o) { return __builtin_mul_overflow(x, y, o); });
  if (a.tag == Tag::uint) return uints(e, a, b, [](auto x, auto y, auto* o) { return __builtin_mul_overflow(x, y, o); });
  return a.tag == Tag::number ? Val::of(a.number * b.number) : e.no_overload();
}

Val divide(Evaluation& e, const Val& a, const Val& b) {
  if (a.tag != b.tag) return e.no_overload();
  if (a.tag == Tag::number) return Val::of(a.number / b.number);
  if (a.tag == Tag::integer) {
    if (b.integer == 0) return e.error("division by zero");
    return a.integer == INT64_MIN && b.integer == -1 ? e.overflow("integer") : Val::of(a.integer / b.integer);
  }
  if (a.tag == Tag::uint) return b.uint == 0 ? e.error("division by zero") : Val::of_uint(a.uint / b.uint);
  return e.no_overload();
}

Val modulo(Evaluation& e, const Val& a, const Val& b) {
  if (a.tag != b.tag) return e.no_overload();
  if (a.tag == Tag::integer) {
    if (b.integer == 0) return e.error("modulus by zero");
    return a.integer == INT64_MIN && b.integer == -1 ? e.overflow("integer") : Val::of(a.integer % b.integer);
  }
  if (a.tag == Tag::uint) return b.uint == 0 ? e.error("modulus by zero") : Val::of_uint(a.uint % b.uint);
  return e.no_overload();
}

Val negate(Evaluation& e, const Val& a) {
  if (a.tag == Tag::integer) return a.integer == INT64_MIN ? e.overflow("integer") : Val::of(-a.integer);
  return a.tag == Tag::number ? Val::of(-a.number) : e.no_overload();
}

}  // namespace kybern::cel
