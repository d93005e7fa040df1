#include "cli/table.h"

#include <algorithm>

#include "base/strings.h"
#include "cli/jsonpath.h"

namespace kybern::cli {
namespace {

constexpr std::size_t table_least = 6, table_padding = 3;

std::size_t width_of(std::string_view text) {  // in code points
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

struct Aligner {
  std::vector<std::vector<std::string_view>> lines;
  std::size_t least, padding;
  std::vector<std::size_t> widths;
  std::string out;

  // Lines [from, to), whose columns before widths.size() are known.
  void format(std::size_t from, std::size_t to) {
    const std::size_t column = widths.size();
    std::size_t written = from;
    for (std::size_t line = from; line < to; ++line) {
      if (column + 1 >= lines[line].size()) continue;
      write(written, line);
      std::size_t end = line, width = least;
      for (; end < to && column + 1 < lines[end].size(); ++end) width = std::max(width, width_of(lines[end][column]) + padding);
      widths.push_back(width);
      format(line, end);
      widths.pop_back();
      written = end;
      line = end - 1;
    }
    write(written, to);
  }
  void write(std::size_t from, std::size_t to) {
    for (std::size_t line = from; line < to; ++line) {
      for (std::size_t i = 0; i < lines[line].size(); ++i) {
        out += lines[line][i];
        if (i + 1 < lines[line].size() && i < widths.size()) out.append(widths[i] - std::min(widths[i], width_of(lines[line][i])), ' ');
      }
      if (line + 1 < lines.size()) out += '\n';
    }
  }
};

std::string cell_text(Value cell) {
  std::string text = cell.is_null() ? "<none>" : plain_text(cell);
  const std::size_t end = text.find_first_of("\n\r\f");
  if (end != std::string::npos) text = text.substr(0, end) + "...";
  return text;
}

}  // namespace

std::string align_tabs(std::string_view text, std::size_t least, std::size_t padding) {
  Aligner aligner{{}, least, padding, {}, {}};
  for (std::string_view line : split(text, '\n')) aligner.lines.push_back(split(line, '\t'));
  aligner.format(0, aligner.lines.size());
  return aligner.out;
}

void TableWriter::head(const std::vector<std::string>& names) {
  std::vector<std::string> cells;
  for (const std::string& name : names) cells.push_back(upper(name));
  rows_.push_back(std::move(cells));
}

std::string TableWriter::flush() {
  for (const auto& row : rows_) {
    if (widths_.size() < row.size()) widths_.resize(row.size(), table_least);
    for (std::size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], width_of(row[i]) + table_padding);
  }
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths_[i] - width_of(row[i]), ' ');
    }
    out += '\n';
  }
  rows_.clear();
  return out;
}

std::string labels_text(Value labels) {
  std::vector<std::string> pieces;
  for (Member member : labels.members()) pieces.push_back(std::string(member.key) + "=" + member.value.str());
  std::sort(pieces.begin(), pieces.end());
  return pieces.empty() ? "<none>" : join(pieces, ",");
}

void add_table(Value table, const TableOptions& options, bool& headed, Document& columns, TableWriter& out) {
  if (table["columnDefinitions"].size() > 0) columns = table["columnDefinitions"].document();
  const Value definitions = columns;
  const auto visible = [&](std::size_t i) { return options.wide || definitions[i]["priority"].as_int() == 0; };
  if (!headed && options.headers) {
    std::vector<std::string> names;
    if (options.with_namespace) names.emplace_back("NAMESPACE");
    for (std::size_t i = 0; i < definitions.size(); ++i)
      if (visible(i)) names.push_back(definitions[i]["name"].str());
    for (const std::string& label : options.label_columns)
      names.push_back(label.substr(label.rfind('/') == std::string::npos ? 0 : label.rfind('/') + 1));
    if (options.show_labels) names.emplace_back("LABELS");
    out.head(names);
  }
  headed = true;
  for (Value row : table["rows"].items()) {
    const Value meta = row["object"]["metadata"];
    std::vector<std::string> cells;
    if (options.with_namespace) cells.push_back(meta["namespace"].str());
    for (std::size_t i = 0; i < definitions.size(); ++i) {
      if (!visible(i)) continue;
      std::string text = cell_text(row["cells"][i]);
      if (options.with_kind && (definitions[i]["format"].as_string() == "name" || (i == 0 && definitions[i]["name"].as_string() == "Name")))
        text = options.kind_prefix + text;
      cells.push_back(std::move(text));
    }
    for (const std::string& label : options.label_columns) {
      const Value value = meta["labels"][std::string_view(label)];
      cells.push_back(value.str());
    }
    if (options.show_labels) cells.push_back(labels_text(meta["labels"]));
    out.row(std::move(cells));
  }
}

}  // namespace kybern::cli
