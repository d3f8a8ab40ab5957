# SPDX-License-Identifier: Apache-2.0
"""Random mixes of actions in sandboxes, and the comparison of records with the actors' notes.

kinds.py registers the kinds of action, and the *_kinds.py modules have them. plan.py draws a mix
from a seed. acting.py is the program that acts in a sandbox; network.py and servers.py are the
world around it. running.py runs a mix; expected.py and comparing.py compare it. shrinking.py finds
the smallest part that fails, and altering.py shows that a false record is noticed.
"""
