// Events, as both groups write them.
#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t text_max = 128, note_max = 1024;

// Where the two versions keep the same things. Findings name the internal field, mostly the older one.
struct Event {
  Value object;
  bool fresh;  // of events.k8s.io
  Value involved() const { return object[fresh ? "regarding" : "involvedObject"]; }
  Value note() const { return object[fresh ? "note" : "message"]; }
  Value source() const { return object[fresh ? "deprecatedSource" : "source"]; }
  Value first_time() const { return object[fresh ? "deprecatedFirstTimestamp" : "firstTimestamp"]; }
  Value last_time() const { return object[fresh ? "deprecatedLastTimestamp" : "lastTimestamp"]; }
  Value count() const { return object[fresh ? "deprecatedCount" : "count"]; }
  std::string_view controller() const { return text(object, fresh ? "reportingController" : "reportingComponent"); }
  std::string_view space() const { return text(object["metadata"], "namespace"); }
  bool timed() const { return set(object, "eventTime"); }
};

void at_most(Findings& f, std::string_view value, std::size_t max, const Path& path) {
  if (value.size() > max) f.invalid(path, "", fmt::format("can have at most {} characters", max));
}

void needed(Findings& f, std::string_view value, const char* field) {
  const Path path(field);
  if (value.empty()) f.required(path);
  at_most(f, value, text_max, path);
}

// Events without a time, as older clients make them: only where they are matters.
void old_style(Findings& f, const Event& event) {
  std::string_view space = event.space(), about = text(event.involved(), "namespace");
  bool agrees = about.empty() ? space.empty() || space == "default" : space == about;
  if (!agrees) f.invalid(Path("involvedObject.namespace"), about, "does not match event.namespace");
}

void new_style(Findings& f, const Event& event) {
  std::string_view about = text(event.involved(), "namespace");
  const Path controller(event.fresh ? "reportingController" : "reportingComponent");
  bool agrees = !about.empty() || event.space() == "default" || event.space() == "kube-system";
  if (!agrees) f.invalid(Path("involvedObject.namespace"), about, "does not match event.namespace");
  if (event.controller().empty()) f.required(controller);
  qualified(f, event.controller(), controller);
  needed(f, text(event.object, "reportingInstance"), "reportingInstance");
  needed(f, text(event.object, "action"), "action");
  needed(f, text(event.object, "reason"), "reason");
  at_most(f, event.note().as_string(), note_max, Path("message"));
}

void either_style(Findings& f, const Event& event) {
  if (event.timed()) new_style(f, event);
  else old_style(f, event);
  dns_subdomain(f, event.space(), Path("namespace"));
}

void fresh_series(Findings& f, const Event& event) {
  Value series = event.object["series"];
  if (series.is_null()) return;
  const Path path("series");
  if (series["count"].as_int() < 2) f.invalid(path.child("count"), "", "should be at least 2");
  if (!set(series, "lastObservedTime")) f.required(path.child("lastObservedTime"));
}

void fresh_fields(Findings& f, const Event& event) {
  if (!event.timed()) f.required(Path("eventTime"));
  std::string_view type = text(event.object, "type");
  if (type != "Normal" && type != "Warning") f.invalid(Path("type"), "", fmt::format("has invalid value: {}", type));
  auto unset = [&](bool given, const char* field) {
    if (given) f.invalid(Path(field), "", "needs to be unset");
  };
  unset(!event.first_time().is_null(), "firstTimestamp");
  unset(!event.last_time().is_null(), "lastTimestamp");
  unset(event.count().as_int() != 0, "count");
  unset(!text(event.source(), "component").empty() || !text(event.source(), "host").empty(), "source");
}

}  // namespace

void core_event_create(Findings& f, Value object) { either_style(f, {object, false}); }
void core_event_update(Findings& f, Value object, Value) { either_style(f, {object, false}); }

void event_create(Findings& f, Value object) {
  Event event{object, true};
  either_style(f, event);
  object_meta(f, object, true, name_is_subdomain);
  fresh_series(f, event);
  fresh_fields(f, event);
}

void event_update(Findings& f, Value object, Value old) {
  Event event{object, true}, before{old, true};
  either_style(f, event);
  object_meta_update(f, object, old);
  if (!same(object["series"], old["series"])) fresh_series(f, event);
  struct Fixed {
    const char* field;
    Value now, then;
  };
  const Fixed fixed[] = {
      {"involvedObject", event.involved(), before.involved()},
      {"reason", object["reason"], old["reason"]},
      {"message", event.note(), before.note()},
      {"source", event.source(), before.source()},
      {"firstTimestamp", event.first_time(), before.first_time()},
      {"lastTimestamp", event.last_time(), before.last_time()},
      {"count", event.count(), before.count()},
      {"reason", object["reason"], old["reason"]},  // upstream looks twice
      {"type", object["type"], old["type"]},
      {"eventTime", object["eventTime"], old["eventTime"]},
      {"action", object["action"], old["action"]},
      {"related", object["related"], old["related"]},
      {"reportingController", object["reportingController"], old["reportingController"]},
      {"reportingInstance", object["reportingInstance"], old["reportingInstance"]},
  };
  for (const Fixed& one : fixed) f.add(validate_immutable(one.now, one.then, Path(one.field)));
}

}  // namespace kybern::rules
