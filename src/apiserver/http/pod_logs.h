// What the log of a pod's container is asked with, and what the kubelet says when there is none.
#pragma once

#include <string>
#include <string_view>

#include "apiserver/registry/work.h"
#include "machinery/status.h"

namespace kybern::apiserver {

// PodLogOptions, as a query has them: 400 for what is no number or time, 422 for what may not be.
ApiResult<void> check_log_options(const Work& work);

// The kubelet answers a log with text. As a Status; `pod` is the name of the pod.
Status log_refusal(int code, std::string text, std::string_view pod);

}  // namespace kybern::apiserver
