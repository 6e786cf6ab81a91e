// The scenes in which the server survives: S1 to S5.
#pragma once

#include <span>

#include "verify/scene.h"

namespace lastack::verify {

std::span<const Scene> server_scenes();

}  // namespace lastack::verify
