// "%s has %d of %d".format([...]): texts from values.
#pragma once

#include <string_view>

#include "machinery/cel/evaluation.h"

namespace kybern::cel {

Val format_text(Evaluation& e, std::string_view format, const Val& args);

}  // namespace kybern::cel
