// + - * / % of CEL: integers do not wrap around, times stay within years 1 to 9999.
#pragma once

#include "machinery/cel/evaluation.h"

namespace kybern::cel {

Val add(Evaluation& e, const Val& a, const Val& b);
Val subtract(Evaluation& e, const Val& a, const Val& b);
Val multiply(Evaluation& e, const Val& a, const Val& b);
Val divide(Evaluation& e, const Val& a, const Val& b);
Val modulo(Evaluation& e, const Val& a, const Val& b);
Val negate(Evaluation& e, const Val& a);

}  // namespace kybern::cel
