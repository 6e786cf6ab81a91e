// TCP sockets: addresses, the one table of socket options, and what the kernel says of an end.
#pragma once

#include <netinet/in.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

namespace lastack {

enum class Family : uint8_t { inet, inet6 };

// A host on loopback: 127.x.y.z as a number in host byte order, or for inet6 the last 32 bits of
// an address whose other bits are zero (1 is ::1).
struct Address {
  uint32_t host = 0;
  uint16_t port = 0;
  auto operator<=>(const Address&) const = default;
};
Address loopback_address(Family family, uint16_t port);
std::string format_address(Family family, const Address& address);

// What joins the two ends of a pair: `local` of one is `remote` of the other.
struct FourTuple {
  Address local;
  Address remote;
  auto operator<=>(const FourTuple&) const = default;
  FourTuple reversed() const { return {remote, local}; }
};

// sockaddr_in or sockaddr_in6, as connect(2) and bind(2) want it.
struct SocketAddress {
  sockaddr_in6 storage;  // the larger of the two
  socklen_t length;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress to_socket_address(Family family, const Address& address);

// Every socket option that lastack sets, so that an error can name it.
enum class Option : uint8_t {
  linger,  // SO_LINGER {1, value in seconds}
  keepalive,
  keepalive_idle_s,
  keepalive_interval_s,
  keepalive_count,
  user_timeout_ms,
  no_delay,
  repair,  // needs CAP_NET_ADMIN over the network namespace
  reuse_address,
  linger2_s,             // below 0: no FIN_WAIT2 at all (tcp(7))
  send_buffer_bytes,     // SO_SNDBUF: the kernel doubles it
  bind_address_no_port,  // the port is chosen by connect(), per destination
  receive_buffer_bytes,  // SO_RCVBUF, likewise; it no longer grows by itself
};
Status set_option(int socket, Option option, int value);
std::string_view option_name(Option option);
// Not of `linger`, which is more than a number.
Result<int> read_option(int socket, Option option);
// The congestion control that every run asks for, as hosts' defaults differ. A private namespace
// may not change its default sysctl to one that the host does not allow, but its sockets may.
constexpr std::string_view kCongestionControl = "cubic";
Status set_congestion_control(int socket);
// What a socket has, whatever was asked for.
struct SocketFacts {
  bool known = false;
  char congestion_control[16] = {};  // TCP_CA_NAME_MAX
  int32_t send_buffer_bytes = 0, receive_buffer_bytes = 0;
  int32_t keepalive = 0;  // SO_KEEPALIVE
  int32_t keepalive_idle_s = 0, keepalive_interval_s = 0, keepalive_count = 0;
  int32_t user_timeout_ms = 0;
  bool operator==(const SocketFacts&) const = default;
};
Result<SocketFacts> read_socket_facts(int socket);
// Drops every packet that arrives for this socket from now on: data, ACKs and RSTs
// (SO_ATTACH_FILTER with "return 0"; sk_filter_trim_cap in tcp_v4_rcv).
Status drop_incoming(int socket);

Result<Fd> open_socket(Family family);
Status bind_socket(int socket, Family family, const Address& to);
// A listening socket; with port 0 on an ephemeral port.
Result<Fd> open_listener(Family family, const Address& at, int backlog);
Result<FourTuple> read_four_tuple(int socket);
Result<Address> read_local_address(int socket);

// TCP_INFO's tcpi_state.
Result<uint8_t> read_tcp_state(int socket);
// Established connections that a listener has not accepted yet (tcp_get_info: a listener's
// tcpi_unacked is its sk_ack_backlog).
Result<int> connections_in_backlog(int listener);
// SO_ERROR, which the kernel clears when it is read.
Result<int> take_socket_error(int socket);
// Whether data is queued and none of it is in flight: the peer's window is shut (tcp(7), SIOCOUTQ
// and SIOCOUTQNSD).
Result<bool> waits_for_window(int socket);
// Where windows are filled until they shut, the end that does not read has a small receive buffer
// from before its handshake on (a window that was offered cannot be taken back), and the other end
// a small send buffer: at the host's TCP memory pressure mark windows do not shut any more.
constexpr int kFilledBuffer = 8 << 10;
constexpr size_t kFillMessage = 4 << 10;
// What the kernel takes of its TCP memory for such a connection, at most: twice each buffer
// (sock_setsockopt), the segment with which either may be exceeded, and their overhead. Measured on
// loopback and veth under Linux 6.18: 36 KiB.
constexpr int64_t kFilledConnectionBytes = 48 << 10;
// Sends messages of kFillMessage into each of the sockets until all of them wait for their windows.
// `tried(i, bytes)` is told what the kernel took, 0 for nothing. The Error is of a send(2) that
// failed, or ETIME when for 10 s nothing was taken and some windows are still open.
Status fill_until_shut(std::span<const int> sockets,
                       const std::function<void(size_t, size_t)>& tried);
// For how long no packet has come from the peer, in whole ticks of the kernel: the later of
// TCP_INFO's tcpi_last_data_recv and tcpi_last_ack_recv. It keeps them after the connection's end.
Result<int64_t> read_silence_ns(int socket);
// Bytes that wait unread in the receive queue (FIONREAD).
Result<int> unread_bytes(int socket);

}  // namespace lastack
