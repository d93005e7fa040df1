#include "cli/describe_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/apply_plan.h"
#include "cli/events.h"
#include "cli/jsonpath.h"
#include "machinery/duration_text.h"

namespace kybern::cli {

void Page::line(int level, std::string_view title, std::string_view value) {
  text += std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(title) + ":\t" + std::string(value) + "\n";
}
void Page::title(int level, std::string_view name) {
  text += std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(name) + ":\n";
}
void Page::raw(int level, std::string_view value) {
  text += std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(value) + "\n";
}

void Page::map(int level, std::string_view name, Value values, std::string_view joint) {
  std::vector<std::string> lines;
  for (Member m : values.members())
    if (m.key != last_applied) lines.push_back(std::string(m.key) + std::string(joint) + plain_text(m.value));
  std::sort(lines.begin(), lines.end());
  if (lines.empty()) return line(level, name, "<none>");
  for (std::size_t i = 0; i < lines.size(); ++i)
    text += (i == 0 ? std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(name) + ":" : "") + "\t" + lines[i] + "\n";
}
void Page::head(Value object) {
  const Value meta = object["metadata"];
  line(0, "Name", meta["name"].as_string());
  if (meta["namespace"].exists()) line(0, "Namespace", meta["namespace"].as_string());
}
void Page::labels(Value object) {
  map(0, "Labels", object["metadata"]["labels"], "=");
  map(0, "Annotations", object["metadata"]["annotations"], ": ");
}
std::string Page::date(Value time) const {
  auto parsed = parse_rfc3339(time.as_string());
  if (!parsed) return "<unset>";
  const auto day = std::chrono::floor<std::chrono::days>(*parsed);
  const std::chrono::year_month_day ymd(day);
  const std::chrono::hh_mm_ss hms(std::chrono::floor<std::chrono::seconds>(*parsed - day));
  static const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} +0000", days[std::chrono::weekday(day).c_encoding()], unsigned(ymd.day()),
                     months[unsigned(ymd.month()) - 1], int(ymd.year()), hms.hours().count(), hms.minutes().count(), hms.seconds().count());
}
std::string spaced(std::string_view key) {  // "restartPolicy" -> "Restart Policy"
  std::string out;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const bool upper = key[i] >= 'A' && key[i] <= 'Z';
    const bool after_lower = i > 0 && !(key[i - 1] >= 'A' && key[i - 1] <= 'Z');
    if (upper && after_lower) out += ' ';
    out += i == 0 && key[i] >= 'a' && key[i] <= 'z' ? static_cast<char>(key[i] - 'a' + 'A') : key[i];
  }
  for (const auto& [word, acronym] : {std::pair{"Api", "API"}, std::pair{"Url", "URL"}, std::pair{"Uid", "UID"}})
    for (std::size_t at = 0; (at = out.find(word, at)) != std::string::npos; at += 3)
      if ((at == 0 || out[at - 1] == ' ') && (at + 3 == out.size() || out[at + 3] == ' ')) out.replace(at, 3, acronym);
  return out;
}

void Page::generic(int level, Value value) {
  std::vector<Member> members;
  for (Member m : value.members()) members.push_back(m);
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
  for (const Member& m : members) {
    if (m.value.is_object()) {
      title(level, spaced(m.key));
      generic(level + 1, m.value);
    } else if (m.value.is_array()) {
      title(level, spaced(m.key));
      for (Value item : m.value.items()) {
        if (item.is_object()) generic(level + 1, item);
        else raw(level + 1, plain_text(item));
      }
    } else {
      line(level, spaced(m.key), m.value.is_null() ? "<nil>" : plain_text(m.value));
    }
  }
}

void Page::events(const std::vector<Document>& list) {
  if (list.empty()) return line(0, "Events", "<none>");
  title(0, "Events");
  text += "  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n";
  std::vector<Document> ordered = list;
  std::stable_sort(ordered.begin(), ordered.end(), [](const Document& a, const Document& b) { return event_time(a) < event_time(b); });
  for (const Document& event : ordered) {
    const std::string age = event_age(event, now);
    std::string from = event["source"]["component"].str();
    if (from.empty()) from = event["reportingComponent"].str();
    text += fmt::format("  {}\t{}\t{}\t{}\t{}\n", event["type"].as_string(), event["reason"].as_string(), age, from,
                        trim(event["message"].as_string()));
  }
}

void Page::conditions(Value list) {
  if (list.empty()) return;
  text += "Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------\n";
  for (Value c : list.items())
    text += fmt::format("  {}\t{}\t{}\n", c["type"].as_string(), c["status"].as_string(), c["reason"].as_string());
}

std::string owner_of(Value object) {
  for (Value owner : object["metadata"]["ownerReferences"].items())
    if (owner["controller"].as_bool()) return owner["kind"].str() + "/" + owner["name"].str();
  return "";
}

}  // namespace kybern::cli
