#include "cli/edit_labels.h"

#include <algorithm>

#include "base/strings.h"
#include "machinery/names.h"

namespace kybern::cli {
namespace {

bool is_edit(std::string_view word) { return word.find('=') != std::string_view::npos || (word.size() > 1 && word.ends_with('-')); }

bool valid_effect(std::string_view effect) { return effect == "NoSchedule" || effect == "PreferNoSchedule" || effect == "NoExecute"; }

}  // namespace

Result<MapEdit> take_edits(std::vector<std::string>& words, std::string_view what) {
  MapEdit out;
  const auto first = std::find_if(words.begin(), words.end(), is_edit);
  for (auto word = first; word != words.end(); ++word) {
    if (!is_edit(*word))
      return fail(Code::invalid, "error: all resources must be specified before " + std::string(what) + " changes: " + *word);
    const std::size_t equals = word->find('=');
    if (equals == std::string::npos) out.removed.push_back(word->substr(0, word->size() - 1));
    else if (equals == 0) return fail(Code::invalid, "error: invalid " + std::string(what) + " format: " + *word);
    else if (const auto wrong = names::label_value(word->substr(equals + 1)); what == "label" && !wrong.empty())
      return fail(Code::invalid, "error: invalid label value: " + go_quote(*word) + ": " + join(wrong, "; "));
    else out.set[word->substr(0, equals)] = word->substr(equals + 1);
  }
  words.erase(first, words.end());
  for (const std::string& key : out.removed)
    if (out.set.contains(key))
      return fail(Code::invalid, "error: can not both modify and remove a" + std::string(what.starts_with('a') ? "n " : " ") +
                                     std::string(what) + " in the same command");
  return out;
}

Result<TaintEdit> take_taints(std::vector<std::string>& words) {
  TaintEdit out;
  const auto edit = [](std::string_view word) {
    return word.find('=') != std::string_view::npos || word.find(':') != std::string_view::npos || (word.size() > 1 && word.ends_with('-'));
  };
  const auto first = std::find_if(words.begin(), words.end(), edit);
  for (auto word = first; word != words.end(); ++word) {
    std::string_view text = *word;
    const bool remove = text.ends_with('-');
    if (remove) text.remove_suffix(1);
    TaintEdit::Taint taint;
    const std::size_t colon = text.rfind(':');
    if (colon != std::string_view::npos) taint.effect = std::string(text.substr(colon + 1));
    const std::string_view rest = text.substr(0, colon);
    const std::size_t equals = rest.find('=');
    taint.key = std::string(rest.substr(0, equals));
    if (equals != std::string_view::npos) taint.value = std::string(rest.substr(equals + 1));
    const auto wrong = names::qualified_name(colon == std::string_view::npos && !remove ? text : std::string_view(taint.key));
    if (!wrong.empty())
      return fail(Code::invalid,
                  "error: invalid taint spec: " + *word + ", " + join(wrong, "; ") + "\nSee 'kubectl taint -h' for help and examples");
    if (!remove && taint.effect.empty()) return fail(Code::invalid, "error: invalid taint spec: " + *word);
    if (!taint.effect.empty() && !valid_effect(taint.effect))
      return fail(Code::invalid, "error: invalid taint effect: " + taint.effect +
                                     ", unsupported taint effect\nSee 'kubectl taint -h' for help and examples");
    (remove ? out.removed : out.set).push_back(std::move(taint));
  }
  words.erase(first, words.end());
  return out;
}

Result<Draft> edited_taints(Value current, const TaintEdit& edit, bool overwrite, std::string_view node) {
  Draft out = Draft::array();
  for (const auto& set : edit.set) {
    Draft taint = Draft::object({{"effect", set.effect}, {"key", set.key}});
    if (!set.value.empty()) taint["value"] = set.value;
    out.push_back(std::move(taint));
  }
  std::vector<bool> used(edit.removed.size());
  for (Value taint : current.items()) {
    bool gone = false;
    for (std::size_t i = 0; i < edit.removed.size(); ++i) {
      const auto& wanted = edit.removed[i];
      if (taint["key"].as_string() != wanted.key || (!wanted.effect.empty() && taint["effect"].as_string() != wanted.effect)) continue;
      gone = used[i] = true;
    }
    for (const auto& set : edit.set) {
      if (taint["key"].as_string() != set.key || taint["effect"].as_string() != set.effect) continue;
      if (!overwrite)
        return fail(Code::already_exists, "error: node " + std::string(node) + " already has " + set.key +
                                              " taint(s) with same effect(s) and --overwrite is false");
      gone = true;
    }
    if (!gone) out.push_back(Draft(taint));
  }
  for (std::size_t i = 0; i < used.size(); ++i)
    if (!used[i])
      return fail(Code::not_found,
                  "error: taint " + go_quote(edit.removed[i].key + (edit.removed[i].effect.empty() ? "" : ":" + edit.removed[i].effect)) +
                      " not found");
  return out;
}

}  // namespace kybern::cli
