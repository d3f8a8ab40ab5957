// SPDX-License-Identifier: Apache-2.0
// dns_test_run COUNT: runs the BPF program of a device (bpf/device.bpf.c) on COUNT frames with
// valid and invalid DNS messages. The kernel runs it by BPF_PROG_TEST_RUN; it is not attached. The
// ring buffer must have each message once, in order and byte for byte, and sandpiper's parser must
// agree with ldns about it. Prints "N messages, N read by both, N by neither". Exits with status 77
// if the kernel does not allow this.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

// The skeleton uses the types of events.h.
// clang-format off
#include "bpf/events.h"
#include "bpf/device_bpf.skel.h"
// clang-format on
#include "tests/fuzz/dns_differential.h"
#include "tests/fuzz/dns_generator.h"
#include "userspace/event/decode.h"
#include "userspace/probe/ring.h"

namespace {

using sandpiper::testing::Agreement;

constexpr int kNotAllowed = 77;
constexpr uint64_t kMember = 1;
constexpr size_t kFrames = 64;  // between two reads of the ring buffer

[[noreturn]] void Fail(const std::string& what, int status = 1) {
  fprintf(stderr, "dns_test_run: %s\n", what.c_str());
  exit(status);
}

void Put16(unsigned n, std::string* out) {
  out->push_back(static_cast<char>(n >> 8));
  out->push_back(static_cast<char>(n));
}

// An Ethernet frame with a UDP datagram from 192.0.2.1 to port 53 of 192.0.2.2. The caller gives
// each message its own source port.
std::string Frame(const std::string& message, unsigned port) {
  std::string out(12, '\x02');
  Put16(ETH_P_IP, &out);
  const unsigned udp = static_cast<unsigned>(message.size()) + 8;
  Put16(0x4500, &out);
  Put16(udp + 20, &out);
  out += std::string("\0\0\x40\0\x40\x11\0\0\xc0\0\x02\x01\xc0\0\x02\x02", 16);
  Put16(port, &out);
  Put16(53, &out);
  Put16(udp, &out);
  Put16(0, &out);
  return out + message;
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc == 2 ? atol(argv[1]) : 0;
  if (count <= 0)
    Fail("usage: dns_test_run COUNT", 2);
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
  const std::unique_ptr<device_bpf, void (*)(device_bpf*)> skeleton(device_bpf::open(),
                                                                    device_bpf::destroy);
  if (!skeleton)
    Fail("the program cannot be opened");
  for (const bpf_program* one :
       {skeleton->progs.handle_device_egress, skeleton->progs.handle_device_packet,
        skeleton->progs.handle_device_packet_body})
    bpf_program__set_autoload(const_cast<bpf_program*>(one), false);
  skeleton->rodata->cfg_owner = {.member = kMember, .sandbox = kMember};
  skeleton->rodata->cfg_link_header = ETH_HLEN;
  std::fill(std::begin(skeleton->rodata->cfg_dns_ports), std::end(skeleton->rodata->cfg_dns_ports),
            0);
  skeleton->rodata->cfg_dns_ports[0] = 53;
  if (const int error = device_bpf::load(skeleton.get()); error)
    Fail(std::string("loading: ") + strerror(-error), kNotAllowed);
  const std::vector<member_counters> none(static_cast<size_t>(libbpf_num_possible_cpus()));
  if (bpf_map__update_elem(skeleton->maps.members, &kMember, sizeof(kMember), none.data(),
                           none.size() * sizeof(member_counters), 0))
    Fail(std::string("creating a member: ") + strerror(errno));

  std::deque<std::string> expected;
  long passed_on = 0;
  std::map<Agreement, long> read;
  auto ring = sandpiper::Ring::Open(
      bpf_map__fd(skeleton->maps.bulk_ring), [&](std::span<const std::byte> record) {
        sandpiper::Event event;
        if (const absl::Status status = sandpiper::Decode(record, &event); !status.ok())
          Fail("cannot decode a record: " + std::string(status.message()));
        const auto* dns = std::get_if<sandpiper::DnsPayload>(&event.body);
        if (!dns)
          return;
        if (expected.empty() || dns->data != expected.front() || !dns->is_query)
          Fail("message " + std::to_string(passed_on) +
               " differs from the one sent: " + std::to_string(dns->data.size()) + " bytes for " +
               std::to_string(expected.empty() ? 0 : expected.front().size()));
        Agreement agreement;
        if (const std::string difference =
                sandpiper::testing::CompareWithLdns(dns->data, &agreement);
            !difference.empty())
          Fail(difference);
        ++read[agreement];
        ++passed_on;
        expected.pop_front();
      });
  if (!ring.ok())
    Fail(std::string(ring.status().message()));
  sandpiper::testing::DnsGenerator generator(3);
  for (long i = 0; i < count; ++i) {
    const std::string message = i % 3 ? generator.Mutated() : generator.Valid();
    const std::string frame = Frame(message, 1024 + static_cast<unsigned>(i % 60'000));
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()), .repeat = 1);
    expected.push_back(message);
    if (const int error = bpf_prog_test_run_opts(
            bpf_program__fd(skeleton->progs.handle_device_ingress), &options);
        error)
      Fail(std::string("running: ") + strerror(-error), error == -EPERM ? kNotAllowed : 1);
    if (expected.size() >= kFrames)
      (*ring)->Drain(kFrames * 4);
  }
  (*ring)->Drain(kFrames * 4);
  if (!expected.empty())
    Fail(std::to_string(expected.size()) + " messages were not passed on");
  printf("%ld messages, %ld read by both, %ld by neither\n", passed_on, read[Agreement::kBothRead],
         read[Agreement::kNeitherReads]);
  return 0;
}
