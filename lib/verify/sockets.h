// What the scenes of `lastack verify` do with one socket: watch it, read, send and wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "verify/stage.h"

namespace lastack::verify {

// How long a call may take that a working host answers at once: it decides no verdict, it only
// keeps a row from waiting for ever. 20 s, and as many times longer as the machine is slower than
// one that is not emulated and has nothing else to do; of all processes that are forked from then.
void stretch_patience(double slowness);
int64_t patience_ns();
inline int patience_ms() { return static_cast<int>(patience_ns() / kMillisecond_ns); }

// poll() for these within the patience; false when none came. `revents` holds what did.
bool await_poll(int socket, short events, short& revents);
// The same without an end, for what comes from a parent: its children die with it.
void await_parent(int socket);
// Whether the peer's kernel has ended it, or its own.
bool is_hung_up(int socket);

enum class Observer : uint8_t { recv, blocking, poll, epoll, select, uring_recv, uring_poll };
// What this watch says of the socket within the patience; reading watches read.
struct Observation {
  std::string events;           // "" for reading watches
  std::optional<int64_t> read;  // bytes, 0 for the end, negative errno
};
Observation observe(Stage& stage, Observer observer, int socket);
// Reads until the end or an error.
struct Reading {
  std::string first_events;
  int64_t bytes = 0;
  std::string last;  // "0", "ECONNRESET", "nothing"
};
Reading read_all(Stage& stage, Observer observer, int socket);

enum class Sender : uint8_t { send, send_nosignal, write, uring_send };
// Sends one byte: "ok" or the errno's name.
std::string send_byte(Stage& stage, Sender sender, int socket);
// How much of what was sent was received: "all", "part", "none".
std::string share_text(int64_t received, int64_t sent);
std::string poll_text(int events);
std::string tcp_state_text(int socket);
// Waits until poll() reports one of these; ends the stage when it does not.
void await_events(int socket, short events);
void await_unread(int socket, int bytes);
// Sends without blocking until the queue stays full; returns the bytes accepted.
int64_t fill_queue(int socket);
// The same until the peer's window is shut: nothing but a read or the end moves what is queued.
int64_t shut_window(int socket);
int64_t send_bytes(int socket, int64_t bytes);
// Bytes in the send queue: not sent, or sent and not acknowledged (SIOCOUTQ).
int unacknowledged_bytes(int socket);
// Waits until the peer's kernel has acknowledged everything.
void await_delivered(int socket);
// Undoes drop_incoming().
void let_in(int socket);

// How the RST that a send provokes reaches the sender.
enum class Reset : uint8_t { free, awaited, held_back };

}  // namespace lastack::verify
