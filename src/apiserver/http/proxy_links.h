// Links of pages that come through a proxy path (/api/v1/namespaces/a/services/b/proxy/...): a link to the page's own host
// is made to lead back through the proxy. HTML is rewritten as it comes, tag by tag.
#pragma once

#include <string>
#include <string_view>

namespace kybern::apiserver {

struct ProxyLinks {
  std::string prefix;        // the path up to and with /proxy
  std::string backend_host;  // host:port that is asked
  std::string client_host;   // the client's Host header

  // "/a?b#c" -> prefix + "/a?b#c"; what leads elsewhere, is relative, or has the prefix already stays.
  std::string rewritten(std::string_view link) const;
};

class HtmlLinks {
 public:
  explicit HtmlLinks(ProxyLinks links) : links_(std::move(links)) {}
  // Appends what is settled of the page so far; `last`: all of it.
  void feed(std::string_view bytes, bool last, std::string& out);

 private:
  static constexpr std::size_t tag_max_bytes = 64 << 10;  // a longer one goes on as it is
  bool tag(std::string& out);                             // `rest_` begins with '<'; false: more is needed
  void rewrite_tag(std::string_view tag, std::string& out);

  ProxyLinks links_;
  std::string rest_;       // received, not settled
  std::string raw_until_;  // within <script> and the like, whose content is no markup: "</script"
};

}  // namespace kybern::apiserver
