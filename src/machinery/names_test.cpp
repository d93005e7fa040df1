#include "machinery/names.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace kybern::names {
namespace {

TEST(Names, MessagesAreUpstreams) {
  EXPECT_EQ(join(dns1123_label("A_b"), ";"),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
            "alphanumeric character "
            "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
  EXPECT_EQ(join(dns1123_label("a.b"), ";"), "must not contain dots");
  EXPECT_EQ(
      join(dns1123_subdomain("Bad"), ";"),
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
      "alphanumeric "
      "character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
  EXPECT_EQ(join(label_value("not valid!"), ";"),
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
  EXPECT_EQ(
      join(qualified_name(""), ";"),
      "name part must be non-empty;name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
      "alphanumeric "
      "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')");
  EXPECT_EQ(join(http_path_part(""), ";"), "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
}

struct NameRow {
  Messages (*check)(std::string_view);
  const char* text;
  bool good;
};

TEST(Names, Grammars) {
  const std::string long_label(63, 'a'), too_long_label(64, 'a');
  const NameRow rows[] = {
      {dns1123_label, "a", true},
      {dns1123_label, "1-a", true},
      {dns1123_label, "-a", false},
      {dns1123_label, "a-", false},
      {dns1123_label, "", false},
      {dns1123_label, long_label.c_str(), true},
      {dns1123_label, too_long_label.c_str(), false},
      {dns1123_subdomain, "a.b-c.9", true},
      {dns1123_subdomain, "a..b", false},
      {dns1123_subdomain, ".a", false},
      {dns1123_subdomain, "a.", false},
      {dns1123_subdomain, "a_b", false},
      {dns1123_subdomain_with_underscore, "_a.b_c", true},
      {dns1123_subdomain_with_underscore, "__a", false},
      {dns1123_subdomain_with_underscore, "a_", false},
      {dns1035_label, "a1", true},
      {dns1035_label, "1a", false},
      {dns1035_label, "a-", false},
      {wildcard_dns1123_subdomain, "*.a.b", true},
      {wildcard_dns1123_subdomain, "*.*.b", false},
      {wildcard_dns1123_subdomain, "*", false},
      {wildcard_dns1123_subdomain, "*a.b", false},
      {fully_qualified_name, "a.b.c", true},
      {fully_qualified_name, "a.b", false},
      {fully_qualified_domain_name, "a.b.", true},
      {fully_qualified_domain_name, "a", false},
      {qualified_name, "example.com/MyName", true},
      {qualified_name, "a_b.c", true},
      {qualified_name, "/a", false},
      {qualified_name, "a/", false},
      {qualified_name, "a/b/c", false},
      {qualified_name, "A/b", false},
      {label_value, "", true},
      {label_value, "a.B_c-9", true},
      {label_value, "_a", false},
      {label_value, too_long_label.c_str(), false},
      {domain_prefixed_path, "acme.io/foo/bar", true},
      {domain_prefixed_path, "acme.io", false},
      {domain_prefixed_path, "acme.io/", false},
      {domain_prefixed_path, "acme.io/a b", false},
      {c_identifier, "_a1", true},
      {c_identifier, "1a", false},
      {c_identifier, "a-b", false},
      {port_name, "http", true},
      {port_name, "a--b", false},
      {port_name, "-a", false},
      {port_name, "12", false},
      {port_name, "", false},
      {port_name, "aaaaaaaaaaaaaaaa", false},
      {port_name, "Http", false},
      {percent, "10%", true},
      {percent, "%", false},
      {percent, "10", false},
      {percent, "-1%", false},
      {http_header, "X-A", true},
      {http_header, "X A", false},
      {http_header, "", false},
      {env_var, "1 a~", true},
      {env_var, "a=b", false},
      {env_var, "", false},
      {env_var, "\xc3\xa9", false},
      {env_var, "a\tb", false},
      {config_map_key, "a_B.9-", true},
      {config_map_key, "..", false},
      {config_map_key, ".", false},
      {config_map_key, "..a", false},
      {config_map_key, "a/b", false},
      {config_map_key, "", false},
      {path_segment, "system:a b", true},
      {path_segment, ".", false},
      {path_segment, "a/b", false},
      {path_segment, "a%b", false},
      {condition_reason, "Reason_A", true},
      {condition_reason, "ReasonA,", false},
  };
  for (const NameRow& row : rows) EXPECT_EQ(row.check(row.text).empty(), row.good) << row.text;
}

TEST(Names, Addresses) {
  struct Case {
    const char *text, *canonical;
  };
  const Case ips[] = {{"1.2.3.4", "1.2.3.4"},
                      {"01.2.3.4", "1.2.3.4"},
                      {"1.2.3", ""},
                      {"1.2.3.256", ""},
                      {"1.2.3.4.5", ""},
                      {"", ""},
                      {"::", "::"},
                      {"::1", "::1"},
                      {"2001:DB8::0:1", "2001:db8::1"},
                      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
                      {"::ffff:1.2.3.4", "1.2.3.4"},
                      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
                      {"1:2:3:4:5:6:7", ""},
                      {"1::2::3", ""},
                      {":::", ""},
                      {"1:2:3:4:5:6:7:8:9", ""},
                      {"fe80::1%eth0", ""},
                      {"12345::", ""},
                      {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
                      {"1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"},
                      {"1::", "1::"},
                      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
                      {"1:", ""},
                      {":1", ""}};
  for (const Case& c : ips) EXPECT_EQ(canonical_ip(c.text), c.canonical) << c.text;
  const Case cidrs[] = {{"10.1.2.3/8", "10.0.0.0/8"},
                        {"10.0.0.0/33", ""},
                        {"10.0.0.0", ""},
                        {"2001:db8::1/64", "2001:db8::/64"},
                        {"::/0", "::/0"},
                        {"1.2.3.4/32", "1.2.3.4/32"},
                        {"1.2.3.4/", ""},
                        {"1.2.3.4/-1", ""},
                        {"::/129", ""}};
  for (const Case& c : cidrs) EXPECT_EQ(canonical_cidr(c.text), c.canonical) << c.text;
  EXPECT_EQ(ip_family("::ffff:1.2.3.4"), Family::ipv4);
  EXPECT_EQ(ip_family("::1"), Family::ipv6);
  EXPECT_EQ(cidr_family("1.2.3.0/24"), Family::ipv4);
}

}  // namespace
}  // namespace kybern::names
