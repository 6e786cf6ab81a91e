// The one door for what the programs print. What cannot be delivered is an error: the exit code
// says so, and a line on standard error where that can be written.
#pragma once

#include <string>
#include <string_view>

namespace lastack {

// First in main(). A standard descriptor that is closed is held by one that can neither be read nor
// written, so that no descriptor that is opened later becomes standard output; and a reader that is
// gone (SIGPIPE) or a file that has its full size (SIGXFSZ) is an error of the write.
void open_door();

// To standard output, unless an earlier text could not be delivered. Foreign bytes in a text are
// made harmless (base/printable.h).
void print(std::string_view text);
// The same without a change, for texts with colours.
void print_as_it_is(std::string_view text);

// "PROGRAM: MESSAGE" to standard error, in one line.
void print_message(std::string_view program, std::string_view message);
// To standard error, without a change: remarks and progress that nothing depends on.
void print_remark(std::string_view text);

// What main() returns: `exit_code`, or 1 where something was not delivered and the exit codes'
// table (run/result.h) has nothing worse.
int delivered(std::string_view program, int exit_code);

}  // namespace lastack
