# SPDX-License-Identifier: Apache-2.0
"""Waits for a condition that another process makes true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float = 60) -> T:
    """Calls `condition` until its result is true, and returns that result."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"the condition was not true within {seconds} s"
        time.sleep(0.2)
    return result
