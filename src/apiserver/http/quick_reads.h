// Reads of single objects, answered on the thread that has read the request.
//
// Controllers and kubelets read the same kinds in the same way all day. Who somebody is, which flow he belongs to and what
// his reads are counted in is found out with the first of them and kept; what is left for the next is a look at the roles, at
// the store and at the texts that are at hand. An answer is, to the byte, what the long way (http/handler.h) would send.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "apiserver/authn/authenticator.h"
#include "apiserver/authz/authorizer.h"
#include "apiserver/flow/flow_control.h"
#include "net/server.h"

namespace kybern::apiserver {

struct ObjectPath {
  const Served* served;
  std::string_view ns, name;
};
// Of /api/v1/[namespaces/NS/]RESOURCE/NAME or /apis/GROUP/VERSION/[namespaces/NS/]RESOURCE/NAME, when that is a built-in
// resource and nothing is percent-encoded.
std::optional<ObjectPath> read_object_path(const Catalog& catalog, std::string_view path);

// By one thread.
class QuickReads {
 public:
  QuickReads(Registry& registry, const Authenticator& authenticator, const Authorizer& authorizer, FlowControl& flow);
  ~QuickReads();
  // False: the request has to go the long way; nothing has happened. `request` is a GET without query and body of somebody
  // whom the authenticator finds at once.
  bool answer(net::Exchange& exchange, const ObjectPath& path);

 private:
  static constexpr std::size_t places = 512;  // a reader has one, by user, kind and namespace
  struct Reader;
  Reader* find_reader(const net::Request& request, const ObjectPath& path, std::string_view accept);
  std::unique_ptr<Reader> make_reader(const net::Request& request, const ObjectPath& path, std::string_view accept);

  Registry& registry_;
  const Authenticator& authenticator_;
  const Authorizer& authorizer_;
  FlowControl& flow_;
  HotTexts texts_;
  std::vector<std::unique_ptr<Reader>> readers_;
};

}  // namespace kybern::apiserver
