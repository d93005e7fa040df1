// What a process tells of itself to those who look for a fault: pages of JSON, and profiles of its processor time.
//
//   debug::Page page("queues", [this] { return R"({"name":"deployment","ready":3})"; });
//
// A page is what all who hold one of that name say, as `items` of one object. The server of a process (API server, kubelet,
// diagnostics port) serves them below /debug/ to those who may see /metrics' like; `serve` is all it has to call:
//
//   GET /debug/                                   the names of the pages
//   GET /debug/NAME                               {"page":"queues","items":[...]}
//   GET /debug/pprof/profile?seconds=30&hz=100    profile.proto; with format=folded, stacks as text
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/world.h"

namespace kybern::debug {

inline constexpr int profile_default_seconds = 30, profile_max_seconds = 300;

class Page {
 public:
  Page(std::string name, std::function<std::string()> json);
  ~Page();  // waits for a running call
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

 private:
  std::string name_;
  std::function<std::string()> json_;
  friend std::string page_text(std::string_view name);
};

std::string page_text(std::string_view name);  // "" when there is none of that name
std::string index_text();

struct Reply {
  int status = 200;
  std::string content_type, body;
};
// False: the path is not one of these. Otherwise `reply` is called once: at once, or for a profile from the executor when it
// is over. `query` is a URL's, still encoded.
bool serve(Executor& executor, std::string_view path, std::string_view query, std::function<void(Reply)> reply);

}  // namespace kybern::debug
