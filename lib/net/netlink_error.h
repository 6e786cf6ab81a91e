// Errors of libnl as errors of this library: libnl folds errnos into a list of its own.
#pragma once

#include <string>

#include "base/error.h"

namespace lastack {

// The errno that stands for what a libnl function returned; 0 for none, EIO for what libnl itself
// calls unspecific (nl_syserr2nlerr).
int errno_of_netlink(int returned);

// The Error of what a libnl function returned, which was negative; with libnl's own words, as
// several errnos are one to it.
Error netlink_error(const std::string& operation, int returned, std::string where = "");

}  // namespace lastack
