// The scenes in which the client survives: C1 to C3.
#pragma once

#include <span>

#include "run/verify_scene.h"

namespace lastack {

std::span<const Scene> client_scenes();

}  // namespace lastack
