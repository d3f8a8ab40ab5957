// SPDX-License-Identifier: Apache-2.0
// Reads a response of an OTLP endpoint with arbitrary bytes. The first byte selects the transport.
#include <string>

#include "tests/fuzz/fuzz.h"
#include "userspace/export/gzip.h"
#include "userspace/export/response.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sandpiper;
  if (size < 2)
    return 0;
  const std::string body(testing::Text(data + 2, size - 2));
  switch (data[0]) {
    case 'r':
      ReadResponse(body);
      break;
    case 'h':
      FromHttp(data[1] * 4, std::nullopt, body);
      break;
    case 'g':
      FromGrpc(data[1] % 20, body.substr(0, 10), body);
      break;
    case 'z':
      if (const auto out = Gunzip(body, kResponseMax)) {
        testing::Require(out->size() <= kResponseMax, "the output is within its limit");
        testing::Require(Gunzip(Gzip(*out), kResponseMax) == *out,
                         "Gunzip returns the input of Gzip");
      }
      break;
    default:
      break;
  }
  return 0;
}
