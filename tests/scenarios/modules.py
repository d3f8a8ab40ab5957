# SPDX-License-Identifier: Apache-2.0
"""Unloads nf_tables and loads it again. For guests, where it is a module that nothing else uses."""

from __future__ import annotations

import ctypes
import glob
import lzma
import os

_libc = ctypes.CDLL(None, use_errno=True)
DELETE_MODULE, INIT_MODULE = 176, 175  # x86-64


def loaded_modules() -> dict[str, list[str]]:
    if not os.path.exists("/proc/modules"):
        return {}
    return {
        line.split()[0]: line.split()[3].strip(",").split(",") for line in open("/proc/modules")
    }


def module_path(name: str) -> str:
    release = os.uname().release
    cache = os.environ.get("SANDPIPER_CACHE", "/var/cache/sandpiper")
    for root in ["/lib/modules/" + release] + [
        r
        for usr in ("", "usr/")
        for r in glob.glob("%s/*/%slib/modules/%s" % (cache, usr, release))
    ]:
        # nf_tables is below this folder. A walk through all of the host's modules takes a guest
        # minutes.
        for path in glob.glob(root + "/kernel/net/**/" + name + ".ko*", recursive=True):
            return path
    raise FileNotFoundError(name)


def unload(name: str) -> list[str]:
    """Unloads the module and all modules that depend on it. Returns their names in the order in
    which they can be loaded again."""
    order = []
    for user in loaded_modules().get(name, []):
        if user and user != "-" and user in loaded_modules():
            order = unload(user) + order
    if _libc.syscall(DELETE_MODULE, name.encode(), os.O_NONBLOCK):
        raise OSError(ctypes.get_errno(), "unloading " + name)
    return [name] + order


def load(name: str) -> None:
    path = module_path(name)
    data = (lzma.open(path) if path.endswith(".xz") else open(path, "rb")).read()
    if _libc.syscall(INIT_MODULE, data, len(data), b"") and ctypes.get_errno() != 17:
        raise OSError(ctypes.get_errno(), "loading " + name)
