// A recorded summary.csv, line by line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compare/recorded.h"

namespace lastack::compare {

// "03-rst-linger/rep-1" is a run of the row "rst-linger".
std::string row_of_folder(std::string_view folder);

// `name` is what messages call the file; that of a suite holds the lines of all its runs.
Result<std::vector<RecordedLine>> read_summary(std::string_view text, const std::string& name,
                                               bool of_suite);

}  // namespace lastack::compare
