// Expected failures as values.
//
// Result<T> carries either a T or an Error. An Error names a code that a caller can act on and a message a person can
// read; at the API's edge it becomes a Kubernetes Status (machinery/status.h). Broken invariants do not travel this
// way: they end the process (base/check.h).
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace kybern {

enum class Code : unsigned char {
  invalid,         // the input is malformed or breaks a rule
  not_found,       // the thing asked for does not exist
  already_exists,  // the thing to be made is there
  conflict,        // a precondition (revision, uid) does not hold
  forbidden,       // not allowed
  too_large,       // a limit named in the message is exceeded
  expired,         // the revision asked for is compacted (410 Gone)
  timeout,         // a bounded wait ended
  unavailable,     // the peer or the disk cannot serve now; a retry may
  canceled,        // the work was told to stop
  unsupported,     // the peer does not know this call
  internal,        // anything else; the message says what
};

struct Error {
  Code code = Code::internal;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Code code, std::string message) { return std::unexpected<Error>(Error{code, std::move(message)}); }

}  // namespace kybern
