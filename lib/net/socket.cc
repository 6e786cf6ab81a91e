#include "net/socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/rows.h"

namespace lastack {
namespace {

struct OptionRow {
  Option id;
  std::string_view name;
  int level;
  int number;
};

constexpr OptionRow kOptions[] = {
    {Option::linger, "SO_LINGER", SOL_SOCKET, SO_LINGER},
    {Option::keepalive, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE},
    {Option::keepalive_idle_s, "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE},
    {Option::keepalive_interval_s, "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL},
    {Option::keepalive_count, "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT},
    {Option::user_timeout_ms, "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT},
    {Option::no_delay, "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY},
    {Option::repair, "TCP_REPAIR", IPPROTO_TCP, TCP_REPAIR},
    {Option::reuse_address, "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR},
    {Option::linger2_s, "TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2},
    {Option::send_buffer_bytes, "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF},
    {Option::bind_address_no_port, "IP_BIND_ADDRESS_NO_PORT", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    {Option::receive_buffer_bytes, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF},
};
static_assert(indexed(kOptions));

int family_number(Family family) { return family == Family::inet ? AF_INET : AF_INET6; }

Address from_socket_address(const sockaddr_in6& storage) {
  if (storage.sin6_family == AF_INET6) {
    uint32_t host;
    std::memcpy(&host, storage.sin6_addr.s6_addr + 12, sizeof(host));
    return {ntohl(host), ntohs(storage.sin6_port)};
  }
  sockaddr_in address;
  std::memcpy(&address, &storage, sizeof(address));
  return {ntohl(address.sin_addr.s_addr), ntohs(address.sin_port)};
}

Result<tcp_info> read_tcp_info(int socket) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return errno_error("getsockopt", "TCP_INFO");
  return info;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*);

Result<Address> read_name(int socket, NameCall call, const char* operation) {
  sockaddr_in6 storage{};
  socklen_t length = sizeof(storage);
  if (call(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0)
    return errno_error(operation);
  return from_socket_address(storage);
}

}  // namespace

Address loopback_address(Family family, uint16_t port) {
  return {family == Family::inet ? INADDR_LOOPBACK : 1, port};
}

SocketAddress to_socket_address(Family family, const Address& address) {
  SocketAddress result{};
  const uint32_t host = htonl(address.host);
  if (family == Family::inet6) {
    result.storage.sin6_family = AF_INET6;
    result.storage.sin6_port = htons(address.port);
    std::memcpy(result.storage.sin6_addr.s6_addr + 12, &host, sizeof(host));
    result.length = sizeof(sockaddr_in6);
    return result;
  }
  sockaddr_in inet{};
  inet.sin_family = AF_INET;
  inet.sin_port = htons(address.port);
  inet.sin_addr.s_addr = host;
  std::memcpy(&result.storage, &inet, sizeof(inet));
  result.length = sizeof(sockaddr_in);
  return result;
}

std::string format_address(Family family, const Address& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  const SocketAddress full = to_socket_address(family, address);
  if (family == Family::inet6) {
    inet_ntop(AF_INET6, &full.storage.sin6_addr, text, sizeof(text));
    return fmt::format("[{}]:{}", text, address.port);
  }
  const in_addr host{htonl(address.host)};
  inet_ntop(AF_INET, &host, text, sizeof(text));
  return fmt::format("{}:{}", text, address.port);
}

Status set_option(int socket, Option option, int value) {
  const OptionRow& row = kOptions[static_cast<size_t>(option)];
  const linger linger_value{1, value};
  const bool is_linger = option == Option::linger;
  const void* data = is_linger ? static_cast<const void*>(&linger_value) : &value;
  const socklen_t length = is_linger ? sizeof(linger_value) : sizeof(value);
  if (setsockopt(socket, row.level, row.number, data, length) != 0)
    return errno_error("setsockopt", fmt::format("{}={}", row.name, value));
  return std::nullopt;
}

std::string_view option_name(Option option) { return kOptions[static_cast<size_t>(option)].name; }

Result<int> read_option(int socket, Option option) {
  const OptionRow& row = kOptions[static_cast<size_t>(option)];
  int value = 0;
  socklen_t length = sizeof(value);
  if (getsockopt(socket, row.level, row.number, &value, &length) != 0)
    return errno_error("getsockopt", std::string(row.name));
  return value;
}

Status set_congestion_control(int socket) {
  if (setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, kCongestionControl.data(),
                 kCongestionControl.size()) != 0)
    return errno_error("setsockopt", fmt::format("TCP_CONGESTION={}", kCongestionControl));
  return std::nullopt;
}

Result<SocketFacts> read_socket_facts(int socket) {
  SocketFacts facts;
  socklen_t length = sizeof(facts.congestion_control) - 1;
  if (getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, facts.congestion_control, &length) != 0)
    return errno_error("getsockopt", "TCP_CONGESTION");
  struct Fact {
    Option option;
    int32_t& value;
  };
  for (const Fact& fact : {
           Fact{Option::send_buffer_bytes, facts.send_buffer_bytes},
           {Option::receive_buffer_bytes, facts.receive_buffer_bytes},
           {Option::keepalive, facts.keepalive},
           {Option::keepalive_idle_s, facts.keepalive_idle_s},
           {Option::keepalive_interval_s, facts.keepalive_interval_s},
           {Option::keepalive_count, facts.keepalive_count},
           {Option::user_timeout_ms, facts.user_timeout_ms},
       }) {
    const auto read = read_option(socket, fact.option);
    if (!read) return read.error();
    fact.value = *read;
  }
  facts.known = true;
  return facts;
}

Status drop_incoming(int socket) {
  sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &drop_all};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
    return errno_error("setsockopt", "SO_ATTACH_FILTER");
  return std::nullopt;
}

Result<Fd> open_socket(Family family) {
  Fd socket(::socket(family_number(family), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno_error("socket");
  return socket;
}

Status bind_socket(int socket, Family family, const Address& to) {
  const SocketAddress address = to_socket_address(family, to);
  if (bind(socket, address.get(), address.length) == 0) return std::nullopt;
  return errno_error("bind", format_address(family, to));
}

Result<Fd> open_listener(Family family, const Address& at, int backlog) {
  auto socket = open_socket(family);
  if (!socket) return socket;
  if (Status failed = bind_socket(socket->get(), family, at)) return *failed;
  if (listen(socket->get(), backlog) != 0) return errno_error("listen", format_address(family, at));
  return socket;
}

Result<Address> read_local_address(int socket) {
  return read_name(socket, getsockname, "getsockname");
}

Result<FourTuple> read_four_tuple(int socket) {
  const auto local = read_local_address(socket);
  if (!local) return local.error();
  const auto remote = read_name(socket, getpeername, "getpeername");
  if (!remote) return remote.error();
  return FourTuple{*local, *remote};
}

Result<uint8_t> read_tcp_state(int socket) {
  tcp_info info;
  socklen_t length = offsetof(tcp_info, tcpi_ca_state);  // the first byte is enough
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return errno_error("getsockopt", "TCP_INFO");
  return info.tcpi_state;
}

Result<int64_t> read_silence_ns(int socket) {
  const auto info = read_tcp_info(socket);
  if (!info) return info.error();
  return int64_t{std::min(info->tcpi_last_data_recv, info->tcpi_last_ack_recv)} * kMillisecond_ns;
}

Result<int> connections_in_backlog(int listener) {
  const auto info = read_tcp_info(listener);
  if (!info) return info.error();
  return static_cast<int>(info->tcpi_unacked);
}

Result<int> take_socket_error(int socket) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
    return errno_error("getsockopt", "SO_ERROR");
  return error;
}

Result<bool> waits_for_window(int socket) {
  int queued = 0, unsent = 0;
  if (ioctl(socket, SIOCOUTQ, &queued) != 0) return errno_error("ioctl", "SIOCOUTQ");
  if (ioctl(socket, SIOCOUTQNSD, &unsent) != 0) return errno_error("ioctl", "SIOCOUTQNSD");
  return unsent > 0 && unsent == queued;
}

Status fill_until_shut(std::span<const int> sockets,
                       const std::function<void(size_t, size_t)>& tried) {
  const std::vector<char> message(kFillMessage, 'd');
  for (const int socket : sockets)
    if (Status failed = set_option(socket, Option::send_buffer_bytes, kFilledBuffer)) return failed;
  constexpr int64_t kPatience_ns = 10 * kSecond_ns;  // for the next ACK, or window probe
  int64_t taken_ns = now_ns();
  while (true) {
    size_t open = 0;
    for (size_t i = 0; i < sockets.size(); ++i) {
      const ssize_t sent =
          send(sockets[i], message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN) return errno_error("send", "to fill a window");
      tried(i, static_cast<size_t>(std::max<ssize_t>(0, sent)));
      if (sent > 0) taken_ns = now_ns();
      const auto shut = waits_for_window(sockets[i]);
      if (!shut) return shut.error();
      open += sent > 0 || !*shut;
    }
    if (open == 0) return std::nullopt;
    if (now_ns() - taken_ns > kPatience_ns)
      return make_error(
          "fill", ETIME,
          fmt::format("the windows of {} of {} connections do not shut", open, sockets.size()));
    sleep_for(kMillisecond_ns);  // for an ACK on its way, which may be a delayed one
  }
}

Result<int> unread_bytes(int socket) {
  int bytes = 0;
  if (ioctl(socket, FIONREAD, &bytes) != 0) return errno_error("ioctl", "FIONREAD");
  return bytes;
}

}  // namespace lastack
