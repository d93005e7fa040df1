// Tokens of `continue=`: where a list goes on, and in which state of the store.
#pragma once

#include <string>
#include <string_view>

#include "machinery/status.h"
#include "store/store.h"

namespace kybern::apiserver {

struct Continue {
  store::Revision revision = 0;  // -1: whatever is newest, the list is not one state any more
  std::string start;             // relative to the prefix
};
std::string encode_continue(store::Revision revision, std::string_view relative_key);
ApiResult<Continue> decode_continue(std::string_view text);

// The 410 of a list that went on too late, with the token by which the rest can still be had, though of another state:
// `metadata.continue` of the Status.
Document expired_continue(const Status& status, std::string_view token);

}  // namespace kybern::apiserver
