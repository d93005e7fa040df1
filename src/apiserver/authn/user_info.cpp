#include "apiserver/authn/user_info.h"

namespace kybern::apiserver {

Draft user_info(const User& user) {
  auto texts = [](const std::vector<std::string>& list) {
    Draft out = Draft::array();
    for (const std::string& text : list) out.push_back(text);
    return out;
  };
  Draft out = Draft::object();
  if (!user.name.empty()) out["username"] = user.name;
  if (!user.uid.empty()) out["uid"] = user.uid;
  if (!user.groups.empty()) out["groups"] = texts(user.groups);
  for (const auto& [key, values] : user.extra) out["extra"][key] = texts(values);
  return out;
}

}  // namespace kybern::apiserver
