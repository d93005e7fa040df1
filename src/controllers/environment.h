// What the run part of a controller is given.
#pragma once

#include "base/world.h"
#include "client/transport.h"
#include "controllers/mirrors.h"

namespace kybern::controllers {

struct Environment {
  client::Transport& transport;  // under the controller's own identity
  World world;
  Mirrors& mirrors;  // not started yet: handlers can be added
};

}  // namespace kybern::controllers
