// OpenSSL's record buffers, kept by the threads that use them.
#pragma once

namespace kybern::net {

// An idle connection holds no buffers (SSL_MODE_RELEASE_BUFFERS), so that ten thousand of them cost little; a busy one takes
// and gives back two of 16 KB with each request, which malloc answers by tidying up all that is free. From this call on
// each thread keeps a few of them instead. First thing in main(): OpenSSL takes other allocation functions only before its first
// allocation; false when it was too late, which costs time and nothing else.
bool keep_tls_buffers();

}  // namespace kybern::net
