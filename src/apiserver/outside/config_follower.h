// A configuration file that is read again when it has changed, while the server runs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/world.h"

namespace kybern::apiserver {

class ConfigFollower {
 public:
  struct Options {
    std::string subject;  // "authentication": apiserver_authentication_config_controller_* are its metrics
    std::string file;
    std::string text;  // what is in use already
    Duration interval{};
    // Takes a new text. Code::invalid: this one will never do; other errors: it is tried again the next time.
    std::function<Result<void>(const std::string& text)> take;
    // Where it is taken; may refuse, then it is tried later. None: on the executor, for what waits for nobody.
    std::function<bool(std::function<void()>)> run{};
  };
  ConfigFollower(Options options, World world);
  ~ConfigFollower();  // waits for a text that is being taken
  ConfigFollower(const ConfigFollower&) = delete;
  ConfigFollower& operator=(const ConfigFollower&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// "sha256:..." of this API server's name, as upstream labels metrics with it: the name is made of the host's.
std::string server_id_hash(std::string_view host);

}  // namespace kybern::apiserver
