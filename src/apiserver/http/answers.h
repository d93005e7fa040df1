// Answers as clients get them: an object, a Status or a text, in the form that was negotiated.
#pragma once

#include <string>
#include <vector>

#include "apiserver/http/media.h"
#include "machinery/status.h"
#include "net/server.h"

namespace kybern::apiserver {

// `json`: of the object, when that is at hand.
void respond_object(net::Exchange& exchange, const Accepted& accepted, int code, Value object,
                    const std::vector<std::string>& warnings = {}, std::string json = {});
void respond_status(net::Exchange& exchange, const Status& status, const std::vector<std::string>& warnings = {});
void respond_text(net::Exchange& exchange, int code, std::string text);
void respond_busy(net::Exchange& exchange, int retry_after_seconds = 1);

}  // namespace kybern::apiserver
