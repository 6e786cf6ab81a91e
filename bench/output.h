// The one door for what the programs print. What cannot be delivered is an error: the exit code
// says so, and a line on standard error where that can be written.
#pragma once

#include <string>
#include <string_view>

namespace lastack {

// To standard output, unless an earlier text could not be delivered. Foreign bytes in a text are
// made harmless (base/printable.h).
void print(std::string_view text);
// The same without a change, for texts with colours.
void print_as_it_is(std::string_view text);

// "PROGRAM: MESSAGE" to standard error, in one line.
void print_message(std::string_view program, std::string_view message);
// To standard error, without a change: remarks and progress that nothing depends on.
void print_remark(std::string_view text);

// The body of main(): does `work`, whose result is the exit code, or what process_entry() has to
// do. A standard descriptor that is closed is held by one that can neither be read nor written, so
// that no descriptor that is opened later becomes standard output; a reader that is gone (SIGPIPE)
// or a file that has its full size (SIGXFSZ) is an error of the write. Where a text was not
// delivered, the exit code is 1 unless the exit codes' table (model/run_status.h) has a worse one.
// Memory that cannot be had is exit code 3, told in words that need none.
int main_of(std::string_view program, int (*work)(int, char**), int argc, char** argv);

}  // namespace lastack
