#include "apiserver/http/open_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace kybern::apiserver {
namespace {

// A list through the streams themselves: ten thousand idle watches shall not cost a table.
std::mutex mutex;
OpenStream* first = nullptr;

}  // namespace

OpenStream::OpenStream(std::string_view verb, std::string_view group, std::string_view resource, std::string_view user, bool local,
                       Instant since)
    : what_(fmt::format("{}\n{}\n{}\n{}", verb, group, resource, user)), local_(local), since_(since) {
  what_.shrink_to_fit();
  std::lock_guard lock(mutex);
  after_ = first;
  if (after_) after_->before_ = this;
  first = this;
}

OpenStream::~OpenStream() {
  std::lock_guard lock(mutex);
  (before_ ? before_->after_ : first) = after_;
  if (after_) after_->before_ = before_;
}

std::string open_streams_json(Instant now) {
  struct Row {
    std::size_t count = 0;
    Instant oldest{};
  };
  std::map<std::pair<std::string, bool>, Row> rows;
  {
    std::lock_guard lock(mutex);
    for (const OpenStream* i = first; i; i = i->after_) {
      Row& row = rows[{i->what_, i->local_}];
      row.oldest = row.count == 0 ? i->since_ : std::min(row.oldest, i->since_);
      ++row.count;
    }
  }
  std::vector<std::pair<const std::pair<std::string, bool>*, Row>> sorted;
  for (const auto& [what, row] : rows) sorted.emplace_back(&what, row);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.count > b.second.count; });
  if (sorted.size() > open_streams_rows) sorted.resize(open_streams_rows);
  std::string out;
  for (const auto& [what, row] : sorted) {
    auto parts = split(what->first, '\n');
    if (!out.empty()) out += ",\n";
    out += fmt::format(R"({{"type":{},"group":{},"resource":{},"user":{},"local":{},"open":{},"oldestSeconds":{:.0f}}})",
                       go_quote(to_lower(parts[0])), go_quote(parts[1]), go_quote(parts[2]), go_quote(parts[3]), what->second, row.count,
                       std::chrono::duration<double>(now - row.oldest).count());
  }
  return out;
}

}  // namespace kybern::apiserver
