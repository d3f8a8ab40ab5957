# SPDX-License-Identifier: Apache-2.0
"""The list of scenarios, in the order of their definition."""

SCENARIOS = []


class Skip(Exception):
    """This machine cannot do it; the message says why."""


def scenario(function):
    SCENARIOS.append(("%s.%s" % (function.__module__, function.__name__), function))
    return function
