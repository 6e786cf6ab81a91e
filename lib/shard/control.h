// The messages between the coordinator and its workers, and to the user's program. They name every
// step of a run, so that a worker may be a process here or, one day, on another host.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace lastack {

enum class Verb : uint32_t {
  // coordinator -> worker, and the worker's answer when it is done
  listen,        // -> listening: items are ports
  connect,       // items are ports; -> established: value is how many
  accept,        // value: how many to expect, may be sent again with fewer; -> established
  adopt,         // victim -> its victim process: items are slots, with their descriptors
  prepare,       // options, the unread byte, the survivors' probes; -> prepared
  arm,           // watches, or the victim's echo; -> armed
  act,           // victim: value is the instant at which the schedule starts; -> done
                 // victim process: exit
  told,          // survivor: items are slots whose victim has gone (WhenTold)
  halt,          // victim: inject nothing more; -> done
  close_ledger,  // survivor: find nothing more; victim: only says what it has used; ->
                 // ledger_closed
  ask_alive,     // survivor: ask the victims that should have come back; -> asked
  clean_up,      // -> clean
  quit,
  // worker -> coordinator
  listening,
  established,
  prepared,
  armed,
  stamp,  // victim: items are slots whose survivor is told of the act, after it
  done,
  ledger_closed,
  asked,
  clean,
  failed,    // text says why
  progress,  // launcher -> program: text is the phase, `value` of `total` are done
};

// Every answer carries what the worker has used of the CPU so far; `armed` may carry a note in
// `text`.
struct Message {
  Verb verb{};
  uint32_t count = 0;  // of items
  int64_t value = 0;
  int64_t total = 0;
  int64_t user_ns = 0;
  int64_t system_ns = 0;
  int64_t context_switches = 0;  // voluntary ones, of all its threads
  static constexpr size_t kMostItems = 96;
  uint32_t items[kMostItems] = {};
  char text[256] = {};
};

constexpr int64_t kForEver_ns = int64_t{1} << 60;
// How long a message waits for room at a receiver that does not read.
constexpr int64_t kSendPatience_ns = 5'000'000'000;

// One end of a SOCK_SEQPACKET pair.
class Channel {
 public:
  explicit Channel(int socket) : socket_(socket) {}
  static Result<std::pair<Channel, Channel>> open_pair();

  // With descriptors, they are handed over, too: copies, as by dup(). The Error ETIME says that the
  // other side does not read, EPIPE that it is gone.
  Status send(const Message& message, std::span<const int> descriptors = {});
  // The next message; nullopt when none is there before the instant or, with 0, at once. The Error
  // EPIPE says that the other side is gone.
  Result<std::optional<Message>> receive(int64_t until_ns, std::vector<Fd>* descriptors = nullptr);
  // Whether a message can be sent at once.
  bool has_room();
  int descriptor() const { return socket_.get(); }
  void close() { socket_.reset(); }

 private:
  // Sleeps until the socket is ready, the instant passes or a signal comes; returns an errno.
  int wait_for(short events, int64_t until_ns);
  Fd socket_;
};

// To who asked for the run; whoever does not read it will not miss it. An empty phase is only a
// sign of life.
void send_progress(Channel& channel, std::string_view phase, int64_t done, int64_t total);

// An error on its way to who leads the process: the words in the text, the errno in the value.
Message failure_message(const Error& error);
Error error_of(const Message& failure);
// Tells who leads this process (Verb::failed) that it ends because something is short; returns its
// exit code. Needs no memory.
int say_shortage(Channel& leader, const char* operation, int error_number);

}  // namespace lastack
