# SPDX-License-Identifier: Apache-2.0
"""nft_storm.py SECONDS RATE: commits RATE transactions a second, every tenth a static one, and
prints how many there were.

It uses one interactive nft(8): a process for each transaction would be slower than the rate.
"""

import json
import subprocess
import sys
import time

seconds, rate = int(sys.argv[1]), int(sys.argv[2])
nft = subprocess.Popen(
    ["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
)
start, done = time.monotonic(), {"static": 0, "dynamic": 0}
for i in range(seconds * rate):
    kind, line = (
        ("static", "add element inet fence t { 10.1.%d.%d }")
        if i % 10 == 0
        else ("dynamic", "add element inet fence s { 10.2.%d.%d timeout 60s }")
    )
    nft.stdin.write((line % (i >> 8, i & 255) + "\n").encode())
    nft.stdin.flush()
    done[kind] += 1
    time.sleep(max(0, start + (i + 1) / rate - time.monotonic()))
errors = nft.communicate()[1]
assert not errors and nft.returncode == 0, errors
print(json.dumps(done))
