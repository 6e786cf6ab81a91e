// What no single parameter can see: contradictions, a deadline below a probe's prediction, fewer
// connections than rows.
#pragma once

#include "plan/spec.h"

namespace lastack {

// The first rule that is broken, with what is allowed.
Status check_spec(const RunSpec& spec);

}  // namespace lastack
