#include "apiserver/print/row.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "machinery/duration_text.h"
#include "machinery/labels.h"
#include "machinery/quantity.h"

namespace kybern::apiserver {

std::string Row::since(Value time) const {
  auto then = parse_rfc3339(time.as_string());
  return then ? human_age(*then, now) : "<unknown>";
}

std::string text_or(Value text, std::string_view otherwise) {
  std::string_view found = text.as_string();
  return std::string(found.empty() ? otherwise : found);
}

std::string labels_text(Value labels) {
  std::vector<std::string> pairs;
  for (Member m : labels.members()) pairs.push_back(fmt::format("{}={}", m.key, m.value.as_string()));
  if (pairs.empty()) return "<none>";
  std::sort(pairs.begin(), pairs.end());
  return join(pairs, ",");
}

std::string selector_text(Value label_selector) {
  auto selector = LabelSelector::from(label_selector);
  if (!selector) return "<error>";
  std::string text = selector->str();
  return text.empty() ? "<none>" : text;
}

std::string list_text(Value list, std::string_view separator) {
  std::vector<std::string> texts;
  for (Value item : list.items()) texts.push_back(item.str());
  return join(texts, separator);
}

std::pair<std::string, std::string> container_texts(Value containers) {
  std::vector<std::string> names, images;
  for (Value container : containers.items()) {
    names.push_back(container["name"].str());
    images.push_back(container["image"].str());
  }
  return {join(names, ","), join(images, ",")};
}

std::string quantity_text(Value quantity) { return Quantity::of(quantity).str(); }

std::string int_or_string_text(Value value) { return value.is_string() ? value.str() : std::to_string(value.as_int()); }

Value condition_of(Value conditions, std::string_view type) {
  for (Value condition : conditions.items())
    if (condition["type"].as_string() == type) return condition;
  return {};
}

bool condition_is_true(Value conditions, std::string_view type) { return condition_of(conditions, type)["status"].as_string() == "True"; }

namespace {
constexpr std::size_t shown_at_most = 3;
}

void ShortList::add(std::string text) {
  ++count_;
  if (shown_.size() < shown_at_most) shown_.push_back(std::move(text));
}

std::string ShortList::str() const {
  std::string text = join(shown_, ",");
  if (count_ > shown_at_most) text += fmt::format(" + {} more...", count_ - shown_at_most);
  return text;
}

}  // namespace kybern::apiserver
