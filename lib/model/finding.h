// What a survivor can learn, and how the learning is told from what the kernel said.
#pragma once

#include <cstdint>
#include <string_view>

namespace lastack {

enum class Finding : uint8_t {
  nothing,
  eof,
  econnreset,
  epipe,
  etimedout,
  ehostunreach,
  heartbeat_missed,
  other
};
constexpr size_t kFindingCount = 8;

struct FindingRow {
  Finding id;
  std::string_view name;
  int error_number;  // the errno that an application sees for it; 0 for none
  std::string_view help;
};

extern const FindingRow kFindings[kFindingCount];
const FindingRow& finding_row(Finding finding);

// TCP_INFO's tcpi_state (net/tcp_states.h): what lasts of an end after its errors were consumed.
constexpr uint8_t kTcpStateUnknown = 0;
constexpr uint8_t kTcpEstablished = 1;
constexpr uint8_t kTcpClose = 7;      // reset or timed out
constexpr uint8_t kTcpCloseWait = 8;  // a FIN came

// Everything that one survivor's calls said about its connection. Errors are positive errnos.
// sk_err goes to whichever call asks first (sock_error in include/net/sock.h), so no single one
// of these decides.
struct Evidence {
  bool read_eof = false;     // a read returned 0
  int16_t read_error = 0;    // the first error of a read
  int16_t write_error = 0;   // the first error of a write
  int16_t socket_error = 0;  // SO_ERROR
  uint16_t poll_events = 0;  // revents, when the watch polled
  uint8_t tcp_state = kTcpStateUnknown;
};

struct Classified {
  Finding finding = Finding::nothing;
  int error_number = 0;
};

// Decides per connection, not per completion.
Classified classify(const Evidence& evidence);

}  // namespace lastack
