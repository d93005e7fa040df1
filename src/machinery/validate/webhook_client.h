// Where a webhook is called (WebhookClientConfig): of admission, and of the conversion of custom resources.
#pragma once

#include "machinery/field.h"

namespace kybern::rules {

FieldErrors webhook_client(Value config, const Path& path);

}  // namespace kybern::rules
