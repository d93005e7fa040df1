// Texts in columns, as kubectl aligns them; and the tables that a server prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"

namespace kybern::cli {

// Elastic columns: a cell is text that a tab ends, and cells of adjacent lines that lie in the same column are padded to
// the same width (the widest plus `padding`, at least `least`). The text after the last tab of a line is not padded.
std::string align_tabs(std::string_view text, std::size_t least, std::size_t padding);

// A table over several pieces: widths only grow, so that the lines of a watch stay aligned with their head.
class TableWriter {
 public:
  void head(const std::vector<std::string>& names);  // upper-cased
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string flush();  // the lines since the last flush

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> widths_;
};

struct TableOptions {
  bool wide = false, headers = true, with_namespace = false, show_labels = false, with_kind = false;
  std::string kind_prefix{};                 // "deployment.apps/" before the name when with_kind
  std::vector<std::string> label_columns{};  // -L
};
// Adds the rows of a meta/v1 Table. `headed`: the head has been written before; becomes true when it is written.
// `columns`: column definitions, remembered from the first table of a watch (later ones may leave them out).
void add_table(Value table, const TableOptions& options, bool& headed, Document& columns, TableWriter& out);

std::string labels_text(Value labels);  // "a=b,c=d", "<none>"

}  // namespace kybern::cli
