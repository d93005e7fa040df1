// A page of `describe`: lines of title and value, aligned when it is whole.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "document/document.h"

namespace kybern::cli {

struct Page {
  std::string text{};
  Time now{};

  void line(int level, std::string_view title, std::string_view value);  // "Title:\tvalue"
  void title(int level, std::string_view name);
  void raw(int level, std::string_view value);
  void map(int level, std::string_view name, Value values, std::string_view joint);  // one a line, in order; "<none>"
  void head(Value object);                                                           // name and namespace
  void labels(Value object);                                                         // labels and annotations
  std::string date(Value time) const;
  void generic(int level, Value value);  // anything, by its own field names
  void events(const std::vector<Document>& list);
  void conditions(Value list);
  void container(Value container, Value status, int level);
  void containers(Value pod_spec, Value statuses, Value init_statuses);
  void volumes(Value pod_spec);
  void pod_template(Value pod_template);
};

std::string spaced(std::string_view key);  // "restartPolicy" -> "Restart Policy"
void tolerations(Page& page, Value spec);
std::string owner_of(Value object);  // "Deployment/web", of what controls it; "" when nothing does

void describe_pod(Page& page, Value pod);                                          // cli/describe_pod.cpp
void describe_node(Page& page, Value node, const std::vector<Document>& related);  // cli/describe_node.cpp
// What has no page of its own is false.
bool describe_workload(Page& page, Value object, const std::vector<Document>& related);  // cli/describe_workload.cpp
bool describe_other(Page& page, Value object, const std::vector<Document>& related);     // cli/describe_other.cpp

}  // namespace kybern::cli
