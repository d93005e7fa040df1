// What the operator says about service accounts' tokens (tokens.h).
#pragma once

#include <string>
#include <vector>

namespace kybern::apiserver {

// How accounts' tokens are made and judged.
struct AccountOptions {
  std::vector<std::string> issuers;    // the first makes them, all are believed; none: the cluster's own name
  std::vector<std::string> audiences;  // of this server; none: the issuers
  std::vector<std::string> key_files;  // further keys by which tokens are verified, PEM
  std::string signing_key_file;        // "": the cluster's own
  std::string jwks_uri;                // where others read the keys; "": of this server
  std::string max_expiration = "0s";   // what is asked for beyond is shortened; 0: nothing is
  bool extend = true;                  // tokens of pods live on for clients that are slow to read the next one
};

}  // namespace kybern::apiserver
