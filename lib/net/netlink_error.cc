#include "net/netlink_error.h"

#include <fmt/format.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>

#include <cerrno>
#include <cstdlib>

namespace lastack {
namespace {

constexpr struct {
  int netlink, error_number;
} kErrnos[] = {
    {NLE_SUCCESS, 0},
    {NLE_INTR, EINTR},
    {NLE_BAD_SOCK, EBADF},
    {NLE_AGAIN, EAGAIN},
    {NLE_NOMEM, ENOMEM},
    {NLE_EXIST, EEXIST},
    {NLE_INVAL, EINVAL},
    {NLE_RANGE, ERANGE},
    {NLE_MSGSIZE, EMSGSIZE},
    {NLE_OPNOTSUPP, EOPNOTSUPP},
    {NLE_AF_NOSUPPORT, EAFNOSUPPORT},
    {NLE_OBJ_NOTFOUND, ENOENT},
    {NLE_MSG_OVERFLOW, ENOBUFS},
    {NLE_NOADDR, EADDRNOTAVAIL},
    {NLE_BUSY, EBUSY},
    {NLE_NOACCESS, EACCES},
    {NLE_PERM, EPERM},
    {NLE_NODEV, ENODEV},
};

}  // namespace

int errno_of_netlink(int returned) {
  for (const auto& row : kErrnos)
    if (row.netlink == std::abs(returned)) return row.error_number;
  return EIO;
}

Error netlink_error(const std::string& operation, int returned, std::string where) {
  return make_error(fmt::format("{} (libnl: {})", operation, nl_geterror(returned)),
                    errno_of_netlink(returned), std::move(where));
}

}  // namespace lastack
