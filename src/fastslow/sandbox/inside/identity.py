"""Change who the sandboxed processes are: new namespaces, then the user nobody, irrevocably."""

from __future__ import annotations

import os

from . import kernel

# "nobody" by custom. A number and not 0 on either side of the mapping: the kernel does not count processes of the real
# root against RLIMIT_NPROC.
NOBODY = 65534

_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)


def enter_namespaces() -> None:
    """Leave the machine's users, mounts, processes (for children), network, IPC and host name."""
    user, group, mapped = os.geteuid(), os.getegid(), _mapped_users()
    if user == 0 and any(first <= NOBODY < first + count for first, _, count in mapped):
        _unshare_as_root()
    else:
        kernel.unshare(_NAMESPACES)
        if (0, 0, 1) in mapped:
            raise PermissionError("this user namespace holds root and nobody else, so root cannot be given up")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        _write("/proc/self/gid_map", f"{NOBODY} {group} 1")
    kernel.set_host_name("sandbox")


def become_nobody() -> None:
    """Give up root and every capability, irrevocably. Raises if any of it did not work."""
    kernel.drop_bounding_set()
    if os.getuid() != NOBODY:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    ids, left = {*os.getresuid(), *os.getresgid()}, kernel.capabilities()
    if ids != {NOBODY} or left or kernel.prctl(kernel.PR_GET_NO_NEW_PRIVS) != 1:
        raise PermissionError(f"privileges could not be dropped: ids {ids}, capabilities {left:x}")


def _unshare_as_root() -> None:
    """Map root and nobody, so that root's files can still be bound into the new root before root is given up.

    Only a process outside the new user namespace may map two ids, so a child stays behind to do it.
    """
    os.setgroups([])
    supervisor = os.getpid()
    unshared, tell = os.pipe()
    helper = os.fork()
    if helper == 0:
        failed = 1
        try:
            os.close(tell)
            if os.read(unshared, 1):
                for ids in ("gid_map", "uid_map"):
                    _write(f"/proc/{supervisor}/{ids}", f"0 0 1\n{NOBODY} {NOBODY} 1")
                failed = 0
        finally:
            os._exit(failed)
    os.close(unshared)
    kernel.unshare(_NAMESPACES)
    os.write(tell, b"!")
    os.close(tell)
    if os.waitpid(helper, 0)[1] != 0:
        raise PermissionError("root could not map user ids into the new user namespace")


def _mapped_users() -> list[tuple[int, ...]]:
    """Return this user namespace's ranges of user ids: first inside, first outside, length. Containers may have only
    one id."""
    with open("/proc/self/uid_map") as lines:
        return [tuple(map(int, line.split())) for line in lines]


def _write(path: str, text: str) -> None:
    # One write call: the kernel takes a map only whole.
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
