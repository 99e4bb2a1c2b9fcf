"""Attacks on memory, disk, output, time, and on the limits themselves."""

from .attack import attack
from .attacks_files import DENIED, SYSCALL

attack(
    "fill the memory",
    "kept = []\nfor _ in range(64): kept.append(bytearray(16 * 2**20))\nreturn len(kept)",
    "out of memory",
    kinds=("memory",),
)
attack("fill the memory at once", "return len(bytearray(2**31))", "out of memory", kinds=("memory",))
attack(
    "map memory",
    "import mmap\nkept = [mmap.mmap(-1, 2**26) for _ in range(16)]\nreturn len(kept)",
    "Cannot allocate|out of memory",
    kinds=("error", "memory"),
)
attack("share memory by IPC", SYSCALL + "\nreturn syscall(29, 0, 2**30, 0o1600) + 1", DENIED)
attack(
    "keep memory in a nameless file",
    "import os\nos.ftruncate(os.memfd_create('x'), 2**30)\nreturn 1",
    DENIED,
    real=True,
)
attack(
    "fill the disk",
    """
    with open("/tmp/full", "wb") as file:
        for _ in range(64):
            file.write(bytes(2**20))
    return 1
    """,
    "File too large|No space",
    disk=4 * 2**20,
)
attack(
    "fill the disk with several files",
    """
    for number in range(16):
        with open(f"/tmp/{number}", "wb") as file:
            file.write(bytes(2**20))
    return 1
    """,
    "No space",
    disk=4 * 2**20,
)
attack("use up the inodes", "for number in range(9000): open(f'/tmp/{number}', 'w').close()\nreturn 1", "No space")
attack(
    "reserve a sparse file", "import os\nos.truncate(os.open('/tmp/x', 65), 2**40)\nreturn 1", "File too large|No space"
)
attack(
    "use up the descriptors",
    "import os\nkept = [os.dup(0) for _ in range(2000)]\nreturn len(kept)",
    "Too many open files",
)
attack("widen a pipe", "import fcntl, os\nreturn fcntl.fcntl(os.pipe()[0], 1031, 2**20)", DENIED, real=True)
attack("lock memory", SYSCALL + "\nreturn syscall(149, 0, 4096) + 1", DENIED)

# -- output --
attack("print without end", "while True: print('x' * 65536)", "out of", kinds=("timeout",), cpu_s=0.2)
attack(
    "write to stderr without end",
    "import os\nwhile True: os.write(2, bytes(65536))",
    "out of",
    kinds=("timeout",),
    wall_s=0.3,
)
attack(
    "write to every descriptor without end",
    """
    import os
    while True:
        for number in range(64):
            try:
                os.write(number, bytes(65536))
            except OSError:
                pass
    """,
    "value takes more",
    kinds=("output",),
)
attack("return too much", "return 'x' * 2**21", "value takes more", kinds=("output",))
attack("return too much in escapes", "return '\\0' * 2**18", "value takes more", kinds=("output",))
attack(
    "return a deep structure",
    "deep = []\nfor _ in range(90000): deep = [deep]\nreturn deep",
    "Recursion|SIGSEGV",
    kinds=("error", "killed"),
)
attack(
    "return a structure just too deep",
    "deep = []\nfor _ in range(150): deep = [deep]\nreturn deep",
    "nested deeper than 100",
)
attack("return itself", "deep = []\ndeep.append(deep)\nreturn deep", "Circular")
attack("return a huge number", "return 10**5000", "Exceeds the limit")
attack(
    "return a huge number after all", "import sys\nsys.set_int_max_str_digits(0)\nreturn 10**5000", "Exceeds the limit"
)
attack("return not a number", "return float('nan')", "Out of range")
attack("return half a character", "return '\\ud800'", "surrogates")
attack("return an object", "return object()", "not JSON serializable")
attack("raise a huge message", "raise ValueError('x' * 2**22)", r"^ValueError: x{1000} \(line 2\)$")
attack(
    "raise what cannot be printed",
    """
    class Mean(Exception):
        def __str__(self):
            raise SystemExit
    raise Mean
    """,
    "cannot be printed",
)

# -- time --
attack("spin", "while True: pass", "processor time", kinds=("timeout",), cpu_s=0.2)
attack("spin in C", "return len(str(9 ** (9 ** 9)))", "out of", kinds=("timeout", "memory"), wall_s=0.3)
attack(
    "match for ever", "import re\nreturn re.match('(a+)+$', 'a' * 40 + 'b')", "out of", kinds=("timeout",), wall_s=0.3
)
attack("recurse", "def down(): return down()\nreturn down()", "RecursionError")
attack(
    "recurse past the stack",
    """
    import sys
    sys.setrecursionlimit(2**30)
    class Down:
        def __repr__(self):
            return repr([self])
    return repr(Down())
    """,
    "SIGSEGV|Recursion|memory",
    kinds=("killed", "error", "memory"),
)

# -- the limits --
for which in ("AS", "CPU", "NPROC", "FSIZE", "NOFILE"):
    attack(
        f"raise the limit {which}",
        f"import resource\nresource.setrlimit(resource.RLIMIT_{which}, (resource.RLIM_INFINITY,) * 2)\nreturn 1",
        DENIED + "|not allowed to raise",
    )
attack("raise a limit past the library", SYSCALL + "\nreturn syscall(160, 9, b'\\xff' * 16) + 1", DENIED)
