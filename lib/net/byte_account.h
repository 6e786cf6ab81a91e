// What the kernel says of the bytes that went through one TCP socket.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace lastack {

// The kernel keeps these numbers after an RST: tcp_reset() drops the queued data, not the sequence
// numbers (tcp_get_info(), tcp_ioctl()).
struct ByteAccount {
  uint64_t acked;     // tcpi_bytes_acked: by the peer's kernel; counts the SYN of an active open
  uint64_t received;  // tcpi_bytes_received: taken into the receive queue, read or not
  uint32_t unacked;   // SIOCOUTQ: handed over and not acknowledged, sent or not
  uint32_t unread;    // SIOCINQ: in the receive queue
};

// The four of one instant, as far as receiving goes: read again while data comes in between.
Result<ByteAccount> read_byte_account(int socket);

}  // namespace lastack
