// Claims for devices, classes and slices: a row per refusal.
#include <gtest/gtest.h>

#include "machinery/testing/judging.h"

namespace kybern {
namespace {

using namespace testing;

TEST(ValidateDevices, Claims) {
  struct Row {
    std::string devices, findings;
  };
  auto exactly = [](std::string_view rest) {
    return R"("requests":[{"name":"r","exactly":{"deviceClassName":"c")" + std::string(rest) + "}}]";
  };
  for (const Row& row : {
           Row{exactly(""), ""},
           Row{exactly(R"(,"selectors":[{"cel":{"expression":"device.driver == 'd' && device.attributes['d'].memory > 3"}}])"), ""},
           Row{exactly(R"J(,"selectors":[{"cel":{"expression":"device.capacity['d'].mem.isGreaterThan(quantity('1Gi'))"}}])J"), ""},
           Row{exactly(R"J(,"selectors":[{"cel":{"expression":"cel.bind(x, device.attributes['d'], x.a && x.b)"}}])J"), ""},
           Row{exactly(R"(,"selectors":[{"cel":{"expression":"device.driver"}}])"),
               "spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: \"device.driver\": must evaluate to bool or "
               "the unknown type, not string"},
           Row{exactly(R"(,"selectors":[{"cel":{"expression":"dev"}},{}])"),
               "spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: \"dev\": compilation failed: ERROR: "
               "<input>:1:1: undeclared reference to 'dev' (in container '')\n | dev\n | ^ | "
               "spec.devices.requests[0].exactly.selectors[1].cel: Required value"},
           Row{exactly(R"(,"allocationMode":"All","count":2)"),
               "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"},
           Row{exactly(R"(,"count":-1)"), "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"},
           Row{exactly(R"(,"allocationMode":"Some")"),
               R"(spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount")"},
           Row{exactly(R"(,"tolerations":[{"operator":"Exists","value":"v"},{"operator":"In"},{"effect":"Never"}])"),
               "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists` | "
               "spec.devices.requests[0].exactly.tolerations[1].operator: Unsupported value: \"In\": supported values: \"Equal\", "
               "\"Exists\" | spec.devices.requests[0].exactly.tolerations[2].effect: Unsupported value: \"Never\": supported values: "
               "\"NoExecute\", \"NoSchedule\", \"None\""},
           Row{R"("requests":[{"name":"r"}])",
               "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"},
           Row{R"("requests":[{"name":"r","exactly":{"deviceClassName":"c"},"firstAvailable":[{"name":"a","deviceClassName":"c"}]}])",
               "spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple "
               "fields are set"},
           Row{R"("requests":[{"name":"r","firstAvailable":[{"name":"a","deviceClassName":"c"},{"name":"a","deviceClassName":""}]}])",
               "spec.devices.requests[0].firstAvailable[1].deviceClassName: Required value | "
               "spec.devices.requests[0].firstAvailable[1]: Duplicate value: \"a\""},
           Row{R"("requests":[)" + many(33, R"({"name":"r","exactly":{"deviceClassName":"c"}})") + "]",
               "spec.devices.requests: Too many: 33: must have at most 32 items"},
           Row{exactly("") + R"(,"constraints":[{"requests":["r","x"],"matchAttribute":"d.io/a"},{}])",
               "spec.devices.constraints[0].requests[1]: Invalid value: \"x\": must be the name of a request in the claim or the name of "
               "a request and a subrequest separated by '/' | spec.devices.constraints[1]: Required value: exactly one of "
               "\"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set"},
           Row{exactly("") + R"(,"constraints":[{"matchAttribute":"a"}])",
               "spec.devices.constraints[0].matchAttribute: Invalid value: \"a\": a fully qualified name must be a domain and a name "
               "separated by a slash"},
           Row{exactly("") + R"(,"config":[{"opaque":{"driver":"d.io","parameters":{"a":1}}},{}])",
               "spec.devices.config[1].opaque: Required value"},
           Row{exactly("") + R"(,"config":[{"opaque":{"driver":"","parameters":[1]}}])",
               "spec.devices.config[0].opaque.driver: Required value | spec.devices.config[0].opaque.driver: Invalid value: \"\": a "
               "lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with "
               "an alphanumeric character (e.g. 'example.com', regex used for validation is "
               "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') | spec.devices.config[0].opaque.parameters: Invalid "
               "value: \"<value omitted>\": must be a valid JSON object"},
       }) {
    Typed one = typed("resource.k8s.io", "v1", "ResourceClaim", R"({"spec":{"devices":{)" + row.devices + "}}}");
    EXPECT_EQ(findings(validate(*one.resource, one.object)), row.findings) << row.devices;
  }
  Typed made = typed("resource.k8s.io", "v1", "ResourceClaimTemplate", R"({"spec":{"metadata":{"name":"n"},"spec":{"devices":{}}}})");
  EXPECT_EQ(findings(validate(*made.resource, made.object)), "spec.metadata.name: Forbidden: cannot be set");
}

TEST(ValidateDevices, ChangesOfClaims) {
  auto claim = [](std::string_view device_class, std::string_view status) {
    return stored("resource.k8s.io", "v1", "ResourceClaim",
                  R"({"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":")" + std::string(device_class) +
                      R"("}}]}},"status":{)" + std::string(status) + "}}");
  };
  constexpr const char* given = R"("allocation":{"devices":{"results":[{"request":"r","driver":"d.io","pool":"p","device":"x"}]}})";
  Typed old = claim("c", ""), other = claim("d", ""), allocated = claim("c", given);
  FieldErrors spec = validate_update(*old.resource, other.object, old.object);
  ASSERT_EQ(spec.size(), 1u) << findings(spec);
  EXPECT_EQ(spec[0].field, "spec");
  EXPECT_EQ(spec[0].detail, "field is immutable");
  auto status = [&](const Typed& before, std::string_view text) {
    return findings(validate_subresource_update(*old.resource, "status", claim("c", text).object, before.object));
  };
  EXPECT_EQ(status(old, given), "");
  EXPECT_EQ(status(old, R"("reservedFor":[{"resource":"pods","name":"p","uid":"u"}])"),
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set");
  EXPECT_EQ(status(allocated, std::string(given) +
                                  R"(,"reservedFor":[{"resource":"","name":"p","uid":"u"},{"resource":"pods","name":"q","uid":"u"}])"),
            "status.reservedFor[0].resource: Required value | status.reservedFor[1]: Duplicate value: \"u\"");
  EXPECT_EQ(
      status(old, R"("allocation":{"devices":{"results":[{"request":"z","driver":"d.io","pool":"","device":"x"}]}})"),
      "status.allocation.devices.results[0].request: Invalid value: \"z\": must be the name of a request in the claim or the name of a "
      "request and a subrequest separated by '/' | status.allocation.devices.results[0].pool: Required value");
  EXPECT_EQ(
      status(allocated, std::string(given) +
                            R"(,"devices":[{"driver":"d.io","pool":"p","device":"y","networkData":{"ips":["10.0.0.1","010.0.0.1/8"]}}])"),
      "status.devices[0]: Invalid value: d.io/p/y: must be an allocated device in the claim | status.devices[0].networkData.ips[0]: "
      "Invalid value: \"10.0.0.1\": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64) | "
      "status.devices[0].networkData.ips[1]: Invalid value: \"010.0.0.1/8\": must be in canonical form (\"10.0.0.1/8\")");
  FieldErrors moved = validate_subresource_update(
      *old.resource, "status",
      claim("c", R"("allocation":{"devices":{"results":[{"request":"r","driver":"d.io","pool":"p","device":"z"}]}})").object,
      allocated.object);
  ASSERT_EQ(moved.size(), 1u) << findings(moved);
  EXPECT_EQ(moved[0].field, "status.allocation");
}

TEST(ValidateDevices, Classes) {
  Typed bad =
      typed("resource.k8s.io", "v1", "DeviceClass", R"({"spec":{"selectors":[{"cel":{"expression":"1"}}],"extendedResourceName":"gpu"}})");
  EXPECT_EQ(findings(validate(*bad.resource, bad.object)),
            "spec.selectors[0].cel.expression: Invalid value: \"1\": must evaluate to bool or the unknown type, not int | "
            "spec.extendedResourceName: Invalid value: \"gpu\": must be a valid extended resource name");
  // What is stored like this is not judged again.
  Typed old = stored("resource.k8s.io", "v1", "DeviceClass", R"({"spec":{"selectors":[{"cel":{"expression":"1"}}]}})");
  EXPECT_EQ(findings(validate_update(*old.resource, old.object, old.object)), "");
}

TEST(ValidateDevices, Slices) {
  struct Row {
    std::string spec, findings;
  };
  const std::string head = R"("driver":"d.io","pool":{"name":"p","resourceSliceCount":1,"generation":1},)",
                    node = head + R"("nodeName":"n",)";
  for (const Row& row : {
           Row{node +
                   R"("devices":[{"name":"x","attributes":{"a":{"int":1},"d.io/b":{"version":"1.2.3"}},"capacity":{"m":{"value":"1Gi"}}}])",
               ""},
           Row{head + R"("devices":[])",
               "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"},
           Row{node + R"("allNodes":true)",
               "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
               "`perDeviceNodeSelection` is required, but multiple fields are set"},
           Row{R"("driver":"d.io","pool":{"name":"P/q","resourceSliceCount":0,"generation":-1},"allNodes":true)",
               "spec.pool.name: Invalid value: \"P\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
               "'-' "
               "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
               "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') | spec.pool.resourceSliceCount: Invalid value: 0: must "
               "be greater than zero | spec.pool.generation: Invalid value: -1: must be greater than or equal to zero"},
           Row{node + R"("devices":[{"name":"x","attributes":{"a":{},"b":{"int":1,"bool":true},"c":{"version":"v1"}}}])",
               "spec.devices[0].attributes[a]: Invalid value: \"\": exactly one value must be specified | spec.devices[0].attributes[b]: "
               "Invalid value: {\"int\":1,\"bool\":true}: exactly one value must be specified | spec.devices[0].attributes[c].version: "
               "Invalid value: \"v1\": must be a string compatible with semver.org spec 2.0.0"},
           Row{node + R"("devices":[{"name":"x"},{"name":"x"}])", "spec.devices[1]: Duplicate value: \"x\""},
           Row{node + R"("devices":[{"name":"x","nodeName":"n"}])",
               "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
               "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"},
           Row{head + R"("perDeviceNodeSelection":true,"devices":[{"name":"x"}])",
               "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
               "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"},
           Row{node + R"("devices":[{"name":"x","bindingConditions":["a"]}])",
               "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
               "bindingConditions"},
           Row{node + R"("devices":[)" + many(65, R"({"name":"x","taints":[{"key":"k","effect":"NoSchedule"}]})") + "]",
               "spec.devices: Too many: 65: must have at most 64 items"},
           Row{node + R"("devices":[{"name":"x","taints":[{"key":"k"}],"consumesCounters":[{"counterSet":"s"}]}])",
               "spec.devices[0].taints[0].effect: Required value | spec.devices[0].consumesCounters[0].counters: Required value"},
           Row{node +
                   R"("devices":[{"name":"x"}],"sharedCounters":[{"name":"s","counters":{"m":{"value":"1"}}},{"name":"s","counters":{}}])",
               "spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed | spec.sharedCounters[1].counters: "
               "Required "
               "value | spec.sharedCounters[1]: Duplicate value: \"s\""},
           Row{node + R"("devices":[{"name":"x","capacity":{"m":{"value":"8","requestPolicy":{"default":"1"}}}}])",
               "spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"},
           Row{node + R"("devices":[{"name":"x","allowMultipleAllocations":true,"capacity":{"m":{"value":"8","requestPolicy":)"
                      R"({"default":"3","validRange":{"min":"2","max":"9","step":"2"}}}}}])",
               "spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: \"9\": max is larger than capacity value: 8 | "
               "spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: \"3\": value is not a multiple of a given step "
               "(2) from (2) | spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: \"9\": value is not a multiple of "
               "a "
               "given step (2) from (2)"},
           Row{node + R"("devices":[{"name":"x","allowMultipleAllocations":true,"capacity":{"m":{"value":"8","requestPolicy":)"
                      R"({"default":"3","validValues":["4","2","9"]}}}}])",
               "spec.devices[0].capacity[m].requestPolicy.validValues[1]: Invalid value: \"2\": values must be sorted in ascending order | "
               "spec.devices[0].capacity[m].requestPolicy.validValues[2]: Invalid value: \"9\": option is larger than capacity value: 8 | "
               "spec.devices[0].capacity[m].requestPolicy.validValues: Invalid value: \"3\": default value is not valid according to the "
               "requestPolicy"},
       }) {
    Typed one = typed("resource.k8s.io", "v1", "ResourceSlice", R"({"spec":{)" + row.spec + "}}");
    EXPECT_EQ(findings(validate(*one.resource, one.object)), row.findings) << row.spec;
  }
  Typed old = stored("resource.k8s.io", "v1", "ResourceSlice", R"({"spec":{)" + node + R"("devices":[]}})"),
        now = stored("resource.k8s.io", "v1", "ResourceSlice", R"({"spec":{)" + head + R"("nodeName":"m","devices":[]}})");
  EXPECT_EQ(findings(validate_update(*now.resource, now.object, old.object)), "spec.nodeName: Invalid value: \"m\": field is immutable");
}

}  // namespace
}  // namespace kybern
