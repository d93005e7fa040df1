// The settings of a command: who wins, what is refused and in which words, what the help shows.
#include "bin/flags.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace kybern::bin {
namespace {

struct Settings {
  std::string data_dir = "/var/lib/x";
  int port = 6443;
  bool agent = true;
  std::vector<std::string> names{"a"};

  Result<void> parse(const std::vector<std::string>& arguments, bool& help, std::string* text = nullptr) {
    Flags flags("kybern try", "Tries.");
    flags.add("data-dir", &data_dir, "where everything is kept");
    flags.section("Node");
    flags.add("port", &port, "the port");
    flags.add("agent", &agent, "run pods");
    flags.add("node-name", &names, "names");
    auto done = flags.parse(arguments, help);
    if (text) *text = flags.help();
    return done;
  }
};

class FlagsTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"KYBERN_DATA_DIR", "KYBERN_PORT", "KYBERN_AGENT", "KYBERN_NODE_NAME", "KYBERN_CONFIG"}) ::unsetenv(name);
    ::unlink(file.c_str());
  }
  std::string write(std::string_view text) {
    std::ofstream(file) << text;
    return file;
  }
  std::string file = testing::TempDir() + "kybern-flags-" + std::to_string(::getpid()) + ".yaml";
  bool help = false;
};

TEST_F(FlagsTest, AFlagBeatsTheEnvironmentWhichBeatsTheFileWhichBeatsTheDefault) {
  struct Row {
    const char *flag, *environment, *line, *want;
  };
  const Row rows[] = {
      {"", "", "", "/var/lib/x"},
      {"", "", "data-dir: /file", "/file"},
      {"", "/env", "", "/env"},
      {"", "/env", "data-dir: /file", "/env"},
      {"/flag", "", "", "/flag"},
      {"/flag", "", "data-dir: /file", "/flag"},
      {"/flag", "/env", "data-dir: /file", "/flag"},
  };
  for (const Row& row : rows) {
    Settings s;
    std::vector<std::string> arguments;
    if (*row.flag) arguments = {"--data-dir", row.flag};
    if (*row.line) arguments.push_back("--config=" + write(row.line));
    if (*row.environment) ::setenv("KYBERN_DATA_DIR", row.environment, 1);
    else ::unsetenv("KYBERN_DATA_DIR");
    auto done = s.parse(arguments, help);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(s.data_dir, row.want) << row.flag << "|" << row.environment << "|" << row.line;
  }
}

TEST_F(FlagsTest, TheFileMayBeNamedByTheEnvironment) {
  Settings s;
  ::setenv("KYBERN_CONFIG", write("port: 7\nagent: false\nnode-name: [x, 7]\n").c_str(), 1);
  ASSERT_TRUE(s.parse({}, help));
  EXPECT_EQ(s.port, 7);
  EXPECT_FALSE(s.agent);
  EXPECT_EQ(s.names, (std::vector<std::string>{"x", "7"}));
}

TEST_F(FlagsTest, Values) {
  struct Row {
    std::vector<std::string> arguments;
    int port;
    bool agent;
    std::vector<std::string> names;
  };
  const Row rows[] = {
      {{}, 6443, true, {"a"}},
      {{"--port", "1"}, 1, true, {"a"}},
      {{"--port=1", "--port=2"}, 2, true, {"a"}},
      {{"--agent=false"}, 6443, false, {"a"}},
      {{"--agent=no", "--agent"}, 6443, true, {"a"}},
      {{"--agent=0"}, 6443, false, {"a"}},
      {{"--node-name=b,c"}, 6443, true, {"b", "c"}},
      {{"--node-name", "b", "--node-name", "c"}, 6443, true, {"b", "c"}},
      {{"--node-name="}, 6443, true, {}},
  };
  for (const Row& row : rows) {
    Settings s;
    ASSERT_TRUE(s.parse(row.arguments, help));
    EXPECT_EQ(s.port, row.port);
    EXPECT_EQ(s.agent, row.agent);
    EXPECT_EQ(s.names, row.names);
  }
}

TEST_F(FlagsTest, WhatIsWrongIsSaidInOneLineWithTheNearestRightName) {
  const std::pair<std::vector<std::string>, const char*> rows[] = {
      {{"--data-dri", "x"}, "kybern try: unknown flag --data-dri; did you mean --data-dir?"},
      {{"--prot=1"}, "kybern try: unknown flag --prot; did you mean --port?"},
      {{"--zzzzzzzzzzzzzz"}, "kybern try: unknown flag --zzzzzzzzzzzzzz; see `kybern try --help`"},
      {{"word"}, "kybern try: unexpected argument \"word\"; see `kybern try --help`"},
      {{"-p", "1"}, "kybern try: unexpected argument \"-p\"; see `kybern try --help`"},
      {{"--port"}, "kybern try: --port needs a value"},
      {{"--port=many"}, "--port: \"many\" is no number"},
      {{"--port=99999999999"}, "--port: \"99999999999\" is no number"},
      {{"--agent=maybe"}, "--agent: \"maybe\" is no yes or no: say true or false"},
      {{"--config=/nowhere/at/all"}, "config file /nowhere/at/all: cannot be read"},
  };
  for (const auto& [arguments, want] : rows) {
    Settings s;
    auto done = s.parse(arguments, help);
    ASSERT_FALSE(done) << want;
    EXPECT_EQ(done.error().message, want);
    EXPECT_EQ(done.error().message.find('\n'), std::string::npos);
  }
  ::setenv("KYBERN_PORT", "x", 1);
  Settings s;
  EXPECT_EQ(s.parse({}, help).error().message, "KYBERN_PORT: \"x\" is no number");
  ::unsetenv("KYBERN_PORT");
  for (const char* slip : {"KYBERN_DTA_DIR", "KYBERN_DATA_DRI", "KYBERN_DATA_DIRS"}) {
    ::setenv(slip, "x", 1);
    auto done = s.parse({}, help);
    ::unsetenv(slip);
    ASSERT_FALSE(done) << slip;
    EXPECT_EQ(done.error().message, std::string("kybern try: unknown environment variable ") + slip + "; did you mean KYBERN_DATA_DIR?");
  }
  // Others' variables: of another command, of the scripts, of a Service that is named kybern.
  for (const char* other : {"KYBERN_KEEP", "KYBERN_QUIET", "KYBERN_SECURE_PORT", "KYBERN_SERVICE_HOST", "KYBERN_NODE_IP"}) {
    ::setenv(other, "x", 1);
    EXPECT_TRUE(s.parse({}, help)) << other;
    ::unsetenv(other);
  }
}

TEST_F(FlagsTest, WhatIsWrongInTheFile) {
  const std::pair<const char*, std::string> rows[] = {
      {"data-dri: x", "unknown setting \"data-dri\"; did you mean data-dir?"},
      {"port: many", ", port: \"many\" is no number"},
      {"data-dir:", ", data-dir needs a value"},
      {"data-dir: null", ", data-dir needs a value"},
      {"node-name: [a, ~]", ", node-name needs a value"},
      {"- a\n- b", "expected lines of `name: value`"},
      {"a: [", ""},
  };
  for (const auto& [text, want] : rows) {
    Settings s;
    auto done = s.parse({"--config", write(text)}, help);
    ASSERT_FALSE(done) << text;
    EXPECT_TRUE(done.error().message.starts_with("config file " + file)) << done.error().message;
    EXPECT_TRUE(done.error().message.ends_with(want)) << done.error().message;
  }
  Settings s;
  EXPECT_TRUE(s.parse({"--config", write("")}, help));
}

TEST_F(FlagsTest, Help) {
  for (const char* word : {"--help", "-h", "help"}) {
    Settings s;
    help = false;
    std::string text;
    ASSERT_TRUE(s.parse({word, "--port=x"}, help, &text));
    EXPECT_TRUE(help);
    EXPECT_EQ(text,
              "Tries.\n\nUsage: kybern try [flags]\n\nFlags:\n"
              "  --config                      a YAML file with a line for each setting: `data-dir: /srv/kybern`\n"
              "  --data-dir                    where everything is kept (default /var/lib/x)\n\n"
              "Node:\n"
              "  --port                        the port (default 6443)\n"
              "  --agent                       run pods (default true)\n"
              "  --node-name                   names (default a)\n\n"
              "Each may also be given as an environment variable (--data-dir: KYBERN_DATA_DIR) or in the file that --config names.\n");
  }
}

}  // namespace
}  // namespace kybern::bin
