#include "net/byte_account.h"

#include <linux/sockios.h>
// Not netinet/tcp.h: glibc's tcp_info ends before the counts of bytes.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

namespace lastack {

Result<ByteAccount> read_byte_account(int socket) {
  const auto read_info = [&](tcp_info& info) {
    socklen_t length = sizeof(info);
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
    return length > offsetof(tcp_info, tcpi_bytes_received);
  };
  constexpr int kTries = 1000;  // a peer that sends all the time still leaves gaps
  for (int i = 0; i < kTries; ++i) {
    tcp_info before{}, after{};
    int unread = 0, unacked = 0;
    if (!read_info(before)) return errno_error("getsockopt TCP_INFO", "byte account");
    if (ioctl(socket, SIOCINQ, &unread) != 0) return errno_error("ioctl SIOCINQ", "byte account");
    if (ioctl(socket, SIOCOUTQ, &unacked) != 0)
      return errno_error("ioctl SIOCOUTQ", "byte account");
    if (!read_info(after)) return errno_error("getsockopt TCP_INFO", "byte account");
    const bool still = before.tcpi_bytes_received == after.tcpi_bytes_received &&
                       before.tcpi_bytes_acked == after.tcpi_bytes_acked;
    if (still)
      return ByteAccount{after.tcpi_bytes_acked, after.tcpi_bytes_received,
                         static_cast<uint32_t>(unacked), static_cast<uint32_t>(unread)};
  }
  return make_error("getsockopt TCP_INFO", EAGAIN, "byte account: data came all the time");
}

}  // namespace lastack
