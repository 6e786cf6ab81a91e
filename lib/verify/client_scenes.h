// The scenes in which the client survives: C1 to C3.
#pragma once

#include <span>

#include "verify/scene.h"

namespace lastack::verify {

std::span<const Scene> client_scenes();

}  // namespace lastack::verify
