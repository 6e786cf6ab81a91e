#include "net/netlink_error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace lastack {
namespace {

// netlink/errno.h, which only lib/net/ may include.
constexpr int kNoMemory = 5, kNoAccess = 27, kUnspecific = 1;

TEST(NetlinkError, HasAnErrnoAndTheWordsOfLibnl) {
  EXPECT_EQ(errno_of_netlink(0), 0);
  EXPECT_EQ(errno_of_netlink(-kNoAccess), EACCES);
  EXPECT_EQ(errno_of_netlink(-kUnspecific), EIO);
  EXPECT_EQ(netlink_error("bring lo up", -kNoMemory).message(),
            "bring lo up (libnl: Out of memory): Cannot allocate memory (ENOMEM 12)");
}

}  // namespace
}  // namespace lastack
