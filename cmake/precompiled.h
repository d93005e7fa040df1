// What most files include, parsed once (cmake/precompiled.cmake). A file still includes what it uses: a header because it
// must compile by itself, a source because this one may shrink.
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <expected>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/result.h"
#include "base/strings.h"
#include "base/time.h"
#include "base/world.h"
#include "document/document.h"
#include "document/json.h"
#include "document/yaml.h"
