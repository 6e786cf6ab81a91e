#include "victim/path_victim.h"

#include "net/namespaces.h"
#include "net/veth.h"

namespace lastack {
namespace {

constexpr int kHostPrefixLength = 32;

}  // namespace

Status prepare_unreachable(const PathEnd& path) {
  // Unlimited: with the default of one a second per host, most survivors would hear nothing.
  const std::vector<Sysctl> router = {{"net/ipv4/conf/all/forwarding", "1"},
                                      {"net/ipv4/conf/all/send_redirects", "0"},
                                      {"net/ipv4/icmp_ratelimit", "0"},
                                      {"net/ipv4/icmp_ratemask", "0"}};
  if (Status failed = write_sysctls(router)) return failed;
  // As long as the address is local, the route is not looked at.
  return add_unreachable_route(path.host);
}

Status cut_path(const PathEnd& path) {
  return delete_address(path.interface, path.host, kHostPrefixLength);
}

Status restore_path(const PathEnd& path) {
  return add_address(path.interface, path.host, kHostPrefixLength);
}

}  // namespace lastack
