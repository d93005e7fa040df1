// The words of warnings, and what several kinds say in the same way. Not for other rooms.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/field.h"

namespace kybern::warnings {

using Warnings = std::vector<std::string>;

struct Word {
  std::string_view name, text;
};

inline constexpr Word old_node_labels[] = {
    {"beta.kubernetes.io/arch", R"(deprecated since v1.14; use "kubernetes.io/arch" instead)"},
    {"beta.kubernetes.io/os", R"(deprecated since v1.14; use "kubernetes.io/os" instead)"},
    {"failure-domain.beta.kubernetes.io/region", R"(deprecated since v1.17; use "topology.kubernetes.io/region" instead)"},
    {"failure-domain.beta.kubernetes.io/zone", R"(deprecated since v1.17; use "topology.kubernetes.io/zone" instead)"},
    {"beta.kubernetes.io/instance-type", R"(deprecated since v1.17; use "node.kubernetes.io/instance-type" instead)"},
};
inline constexpr Word old_volumes[] = {
    {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
};

inline std::string_view text_for(std::span<const Word> words, std::string_view name) {
  for (const Word& word : words)
    if (word.name == name) return word.text;
  return {};
}

// As warnings write it.
inline std::string_view shown_volume(std::string_view field) { return field == "storageos" ? std::string_view("storageOS") : field; }

class Sayer {
 public:
  void at(const Path& path, std::string_view text);
  void say(std::string text) { out.push_back(std::move(text)); }
  // An address, or a network, that another program would not read as this one does.
  void ip(const Path& path, std::string_view text);
  void cidr(const Path& path, std::string_view text);
  void whole_bytes(const Path& amounts, Value values, std::initializer_list<std::string_view> names);
  void label_name(std::string_view name, std::string_view used);
  // `values`: those that no label can have are told too.
  void node_term(Value term, bool values, const Path& path);
  void claim_spec(Value spec, const Path& path);

  Warnings out;
};

Warnings of_pod(Value pod, bool is_new);
Warnings of_template(Value pod, const Path& path);

}  // namespace kybern::warnings
