// Who may do what, who must approve it, and how requests share the server.
#include <fmt/format.h>

#include "apiserver/print/row.h"
#include "base/strings.h"
#include "machinery/duration_text.h"

namespace kybern::apiserver {

void role_binding_cells(Row& row) {
  Value role = row.object["roleRef"];
  std::vector<std::string> users, groups, accounts;
  for (Value subject : row.object["subjects"].items()) {
    std::string_view kind = subject["kind"].as_string();
    if (kind == "ServiceAccount") accounts.push_back(fmt::format("{}/{}", subject["namespace"].as_string(), subject["name"].as_string()));
    else if (kind == "User") users.push_back(subject["name"].str());
    else if (kind == "Group") groups.push_back(subject["name"].str());
  }
  row.add_all(row.name(), fmt::format("{}/{}", role["kind"].as_string(), role["name"].as_string()), row.age(), join(users, ", "),
              join(groups, ", "), join(accounts, ", "));
}

void certificate_request_cells(Row& row) {
  Value conditions = row.status()["conditions"], seconds = row.spec()["expirationSeconds"];
  auto has = [&](std::string_view type) { return !condition_of(conditions, type).is_null(); };
  std::string state = has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending";
  if (has("Failed")) state += ",Failed";
  if (!row.status()["certificate"].as_string().empty()) state += ",Issued";
  row.add_all(row.name(), row.age(), text_or(row.spec()["signerName"], "<none>"), row.spec()["username"].str(),
              seconds.is_null() ? "<none>" : human_duration(std::chrono::seconds(seconds.as_int())), state);
}

void webhooks_cells(Row& row) { row.add_all(row.name(), static_cast<std::int64_t>(row.object["webhooks"].size()), row.age()); }

namespace {

void add_policy(Row& row, std::string_view list) {
  Value kind = row.spec()["paramKind"];
  row.add_all(row.name(), static_cast<std::int64_t>(row.spec()[list].size()),
              kind.is_null() ? "<unset>" : fmt::format("{}/{}", kind["apiVersion"].as_string(), kind["kind"].as_string()), row.age());
}

}  // namespace

void validating_policy_cells(Row& row) { add_policy(row, "validations"); }
void mutating_policy_cells(Row& row) { add_policy(row, "mutations"); }

void policy_binding_cells(Row& row) {
  Value reference = row.spec()["paramRef"];
  std::string text = "<unset>";
  if (std::string_view name = reference["name"].as_string(); !name.empty()) {
    std::string_view ns = reference["namespace"].as_string();
    text = fmt::format("{}/{}", ns.empty() ? "*" : ns, name);  // whether such objects have namespaces is not known here
  } else if (!reference["selector"].is_null()) {
    text = selector_text(reference["selector"]);
  }
  row.add_all(row.name(), row.spec()["policyName"].str(), text, row.age());
}

void flow_schema_cells(Row& row) {
  Value dangling = condition_of(row.status()["conditions"], "Dangling");
  row.add_all(row.name(), text_or(row.spec()["priorityLevelConfiguration"]["name"], "<none>"), row.spec()["matchingPrecedence"].as_int(),
              text_or(row.spec()["distinguisherMethod"]["type"], "<none>"), row.age(), text_or(dangling["status"], "?"));
}

void priority_level_cells(Row& row) {
  Value limited = row.spec()["limited"], queuing = limited["limitResponse"]["queuing"];
  auto number = [](Value owner, std::string_view field) { return owner.is_null() ? Draft("<none>") : Draft(owner[field].as_int()); };
  row.add_all(row.name(), row.spec()["type"].str(), number(limited, "nominalConcurrencyShares"), number(queuing, "queues"),
              number(queuing, "handSize"), number(queuing, "queueLengthLimit"), row.age());
}

}  // namespace kybern::apiserver
