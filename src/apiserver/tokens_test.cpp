// What a TokenRequest may ask for, and what it is told.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/live_server.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

class TokenRequests : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(live_.start());
    for (const char* name : {"default", "robot", "other"})
      make("serviceaccounts", fmt::format(R"({{"apiVersion":"v1","kind":"ServiceAccount","metadata":{{"name":"{}"}}}})", name));
    make(
        "pods",
        R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"serviceAccountName":"robot","nodeName":"n","containers":[{"name":"c","image":"i"}]}})");
  }
  void TearDown() override { live_.stop(); }
  Document make(const std::string& plural, const std::string& body) { return live_.must("POST", in_default + plural, body); }
  std::string request(const std::string& metadata, const std::string& spec) {
    return R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":)" + metadata + R"(,"spec":)" + spec + "}";
  }
  std::string ask(const std::string& metadata, const std::string& spec, const std::string& account = "robot") {
    return live_.refused("POST", in_default + "serviceaccounts/" + account + "/token", request(metadata, spec));
  }

  const std::string in_default = "/api/v1/namespaces/default/";
  testing::LiveServer live_;
};

TEST_F(TokenRequests, WhatIsWrongIsSaid) {
  const std::string uid = live_.must("GET", in_default + "serviceaccounts/robot")["metadata"]["uid"].str();
  EXPECT_EQ(ask("{}", "{}", "nobody"), "404 serviceaccounts \"nobody\" not found");
  EXPECT_EQ(
      ask(R"({"name":"x"})", "{}"),
      "422 TokenRequest.authentication.k8s.io \"robot\" is invalid: metadata.name: Invalid value: \"x\": must match the service account "
      "name if specified");
  EXPECT_EQ(
      ask(R"({"uid":"x"})", "{}"),
      "409 Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"robot\": the UID in the token request (x) does not match "
      "the UID of the service account (" +
          uid + ")");
  EXPECT_EQ(
      ask("{}", R"({"expirationSeconds":599})"),
      "422 TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration "
      "less than 10 minutes");
  auto bound = [](const std::string& to) { return R"({"boundObjectRef":)" + to + "}"; };
  EXPECT_EQ(ask("{}", bound(R"({"apiVersion":"apps/v1","kind":"Deployment","name":"d"})")),
            "400 cannot bind token to object of type apps/v1, Kind=Deployment");
  EXPECT_EQ(ask("{}", bound(R"({"apiVersion":"v1","kind":"ConfigMap","name":"d"})")),
            "400 cannot bind token to object of type /v1, Kind=ConfigMap");
  EXPECT_EQ(ask("{}", bound(R"({"apiVersion":"v1","kind":"Pod","name":"none"})")), "404 pods \"none\" not found");
  EXPECT_EQ(ask("{}", bound(R"({"apiVersion":"v1","kind":"Pod","name":"p"})"), "other"),
            "400 cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name.");
  EXPECT_EQ(
      ask("{}", bound(R"({"apiVersion":"v1","kind":"Pod","name":"p","uid":"x"})")),
      "409 Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (x) does not match the UID in record. The "
      "object might have been deleted and then recreated");
}

TEST_F(TokenRequests, WhatIsGiven) {
  const Document account = live_.must("GET", in_default + "serviceaccounts/robot");
  const Document made = live_.must("POST", in_default + "serviceaccounts/robot/token",
                                   request(R"({"name":"robot","namespace":"default","uid":")" + account["metadata"]["uid"].str() + "\"}",
                                           R"({"audiences":["vault"],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p"}})"));
  EXPECT_EQ(made["metadata"]["uid"].as_string(), account["metadata"]["uid"].as_string());
  EXPECT_EQ(made["spec"]["expirationSeconds"].as_int(), 3600);
  const Document claims = *parse_json(net::decode_jwt(made["status"]["token"].str())->claims_json);
  EXPECT_EQ(to_json(claims["aud"]), R"(["vault"])");
  EXPECT_EQ(claims["kubernetes.io"]["pod"]["name"].as_string(), "p");
  EXPECT_EQ(to_json(claims["kubernetes.io"]["node"]), R"({"name":"n"})") << "there is no such node: only its name is told";
  EXPECT_EQ(claims["exp"].as_int() - claims["iat"].as_int(), 3600);
}

}  // namespace
}  // namespace kybern::apiserver
