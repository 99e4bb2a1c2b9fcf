"""Attacks on files, devices, mounts, privileges and memory of others."""

from .attack import attack

GONE = "FileNotFoundError|PermissionError|NotADirectoryError"
DENIED = "PermissionError|Operation not permitted"

SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*arguments):
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""

# -- secrets --
attack(
    "read the environment of the parent",
    "return open(f\"/proc/{host['parent']}/environ\").read().index('topsecret') + 1",
    GONE,
    real=True,
)
attack("read its own /proc", "return open('/proc/self/environ').read() + '.'", GONE, real=True)
attack(
    "find a secret in its own environment",
    """
    import ctypes, os
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    raw = []
    while environ and environ[len(raw)]:
        raw.append(environ[len(raw)].decode())
    assert any("topse" + "cret" in text for text in [*raw, *os.environ.values()]), f"nothing in {raw}"
    return raw
    """,
    "nothing in",
    real=True,
)
attack(
    "find a secret among the objects in memory",
    """
    import gc, sys
    found, frame = [], sys._getframe()
    while frame:
        found += [repr(value) for value in frame.f_locals.values() if value is not found]
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict):
            found += [text for text in thing.values() if isinstance(text, str)]
    assert any("topse" + "cret-" in text for text in found), "nothing in memory"
    return "found"
    """,
    "nothing in memory",
)
attack(
    "find an inherited descriptor",
    """
    import os, stat
    found = {}
    for number in range(1024):
        try:
            kind = os.fstat(number).st_mode
        except OSError:
            continue
        found[number] = stat.filemode(kind)
    pipes = [number for number, kind in found.items() if kind.startswith("p")]
    rest = [kind for kind in found.values() if not kind.startswith(("c", "p"))]
    assert len(pipes) > 1 or rest, f"only standard ones and the result: {found}"
    return found
    """,
    "only standard ones",
)
attack("read a file of the user", "return open(host['secret']).read()", GONE, real=True)
attack("read the list of accounts", "return open('/etc/passwd').read()", GONE, real=True)
attack(
    "read through a symbolic link",
    """
    import os, tempfile
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(host["secret"], link)
    return open(link).read()
    """,
    GONE,
    real=True,
)
attack("read through dots", "return open('/tmp' + '/..' * 40 + host['secret']).read()", GONE, real=True)
attack(
    "read through a descriptor of the parent",
    "import os\nreturn os.listdir(f\"/proc/{host['parent']}/fd\")",
    GONE,
    real=True,
)
attack(
    "read the memory of the parent",
    SYSCALL
    + """
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
mine = Vector(ctypes.addressof(buffer), 8)
return syscall(310, host["parent"], ctypes.byref(mine), 1, ctypes.byref(Vector(0x1000, 8)), 1, 0)
""",
    DENIED,
)
attack("trace the parent", SYSCALL + "\nreturn syscall(101, 0x4206, host['parent'], 0, 0) + 1", DENIED)
attack("ask to be traced", SYSCALL + "\nreturn syscall(101, 0, 0, 0, 0) + 1", DENIED)
attack("read the session's keyring", SYSCALL + "\nreturn syscall(250, 0, -3, 1)", DENIED, real=True)
attack(
    "see other processes", "import os\nreturn [name for name in os.listdir('/proc') if name.isdigit()]", GONE, real=True
)

# -- writing --
attack("write a file of the user", "return open(host['folder'] + '/pwned', 'w').write('x')", GONE, real=True)
attack(
    "write through a symbolic link",
    """
    import os, tempfile
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(host["folder"], link)
    return open(link + "/pwned", "w").write("x")
    """,
    GONE,
    real=True,
)
attack("change the standard library", "import os\nopen(os.__file__, 'r+')\nreturn 1", "Read-only|PermissionError")
attack(
    "add to the standard library",
    "import os\nos.mkdir(os.path.dirname(os.__file__) + '/pwned')\nreturn 1",
    "Read-only|Perm",
)
attack("make a folder in the root", "import os\nos.mkdir('/pwned')\nreturn 1", "Read-only|PermissionError")
attack("write to shared memory", "open('/dev/shm/' + host['name'], 'w')\nreturn 1", GONE)
attack("change a setting of the kernel", "open('/proc/sys/kernel/core_pattern', 'r+')\nreturn 1", GONE)
attack("reach for control groups", "import os\nreturn os.listdir('/sys/fs/cgroup')", GONE, real=True)

# -- devices and mounts --
attack(
    "open a device",
    """
    opened = []
    for name in ("mem", "kmem", "kmsg", "vda", "sda", "nvme0", "kvm", "fuse", "net/tun", "tty", "ptmx", "zero"):
        try:
            opened.append(open("/dev/" + name, "rb"))
        except OSError:
            continue
    assert opened, "no device"
    return len(opened)
    """,
    "no device",
    real=True,
)
attack(
    "make a device", "import os\nos.mknod('/tmp/disk', 0o60644, os.makedev(254, 0))\nreturn open('/tmp/disk')", DENIED
)
attack(
    "mount /proc", SYSCALL + "\nos.mkdir('/tmp/p')\nreturn syscall(165, b'proc', b'/tmp/p', b'proc', 0, 0) + 1", DENIED
)
attack("mount the root writable", SYSCALL + "\nreturn syscall(165, 0, b'/', 0, 32 | 4096, 0) + 1", DENIED)
attack("unmount the cover", SYSCALL + "\nreturn syscall(166, b'/tmp', 2) + 1", DENIED)
attack("find the old root", "import os\nreturn os.listdir('/.old')", GONE)
attack("pivot to another root", SYSCALL + "\nreturn syscall(155, b'/tmp', b'/tmp') + 1", DENIED)
attack(
    "escape by chroot",
    """
    import os
    os.mkdir("/tmp/jail")
    down = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/jail")
    os.fchdir(down)
    os.chdir("../" * 40)
    return os.listdir(".")
    """,
    DENIED,
)
attack("open a file by its handle", SYSCALL + "\nreturn syscall(304, -100, ctypes.create_string_buffer(24), 0)", DENIED)

# -- privileges --
attack("become root", "import os\nos.setuid(0)\nreturn 1", DENIED)
attack(
    "take capabilities", SYSCALL + "\nreturn syscall(126, (ctypes.c_uint32 * 2)(0x20080522), b'\\xff' * 24) + 1", DENIED
)
attack("make a namespace of its own", SYSCALL + "\nreturn syscall(272, 0x10000000) + 1", DENIED)
attack("enter another namespace", SYSCALL + "\nreturn syscall(308, 0, 0) + 1", DENIED)
attack(
    "make a root user's program",
    "import os\nos.chown(__import__('sys').executable, 0, 0)\nreturn 1",
    DENIED + "|NotFound",
)
attack("load a program into the kernel", SYSCALL + "\nreturn syscall(321, 0, bytes(128), 128) + 1", DENIED)
attack("submit work through a ring", SYSCALL + "\nreturn syscall(425, 4, bytes(120)) + 1", DENIED)
attack("watch the processor", SYSCALL + "\nreturn syscall(298, bytes(112), 0, -1, -1, 0) + 1", DENIED)
attack("take over page faults", SYSCALL + "\nreturn syscall(323, 1) + 1", DENIED)
attack("take the filter away", SYSCALL + "\nreturn syscall(157, 22, 0, 0, 0, 0) + 1", DENIED)
attack(
    "use the x32 numbers",
    SYSCALL + "\nreturn syscall(0x40000000 | 41, 2, 1, 0) + 1",
    "SIGSYS",
    kinds=("killed",),
)
