// KYBERN_CHECK(condition, "why it always holds"): a broken invariant ends the process with the place and the reason.
#pragma once

namespace kybern {
[[noreturn]] void check_failed(const char* condition, const char* why, const char* file, int line);
}

#define KYBERN_CHECK(condition, why) (static_cast<bool>(condition) ? void(0) : ::kybern::check_failed(#condition, why, __FILE__, __LINE__))
