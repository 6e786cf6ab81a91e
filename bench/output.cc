#include "output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <new>

#include "base/file.h"
#include "base/printable.h"
#include "ledger/result.h"
#include "run/runner.h"
#include "shard/shortage.h"

namespace lastack {
namespace {

constexpr const char kStandardOutput[] = "to standard output";

Status g_undelivered;  // the first text that could not be written

// Who cannot be told that a message was lost has the exit code.
void write_to_stderr(std::string_view text) { (void)write_all(STDERR_FILENO, text, ""); }

}  // namespace

void print_as_it_is(std::string_view text) {
  if (!g_undelivered) g_undelivered = write_all(STDOUT_FILENO, text, kStandardOutput);
}

void print(std::string_view text) { print_as_it_is(printable_lines(text)); }

void print_message(std::string_view program, std::string_view message) {
  write_to_stderr(fmt::format("{}: {}\n", program, printable(message)));
}

void print_remark(std::string_view text) { write_to_stderr(text); }

namespace {

void open_door() {
  // Reads and writes of an O_PATH descriptor fail with EBADF (open(2)), as those of a closed one.
  int descriptor = 0;
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = open("/", O_PATH);
  if (descriptor >= 0) close(descriptor);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

// `exit_code`, or what is worse where something was not delivered.
int delivered(std::string_view program, int exit_code) {
  // A network's file system may say only now that it could not keep the text (close(2)).
  if (close(STDOUT_FILENO) != 0 && !g_undelivered)
    g_undelivered = errno_error("write", kStandardOutput);
  if (!g_undelivered) return exit_code;
  print_message(program, g_undelivered->message());
  const int failed = status_row(RunStatus::failed).exit_code;
  for (const RunStatusRow& row : run_statuses())  // the worse one stands first
    if (row.exit_code == exit_code || row.exit_code == failed) return row.exit_code;
  return failed;
}

}  // namespace

int main_of(std::string_view program, int (*work)(int, char**), int argc, char** argv) {
  open_door();
  try {
    if (const auto code = process_entry(argc, argv)) return *code;
    return delivered(program, work(argc, argv));
  } catch (const std::bad_alloc&) {
    return say_lack_of_memory();
  }
}

}  // namespace lastack
