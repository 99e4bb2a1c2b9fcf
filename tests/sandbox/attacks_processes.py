"""Attacks by programs, processes, threads and signals."""

from .attack import attack
from .attacks_files import DENIED, GONE, SYSCALL

# -- shells and programs --
attack(
    "run a shell command",
    """
    import os
    status = os.system(f"echo x > {host['folder']}/pwned")
    if status:
        raise PermissionError(f"os.system gave {status}")
    return 1
    """,
    DENIED,
    real=True,
)
attack("run a shell", "import subprocess\nreturn subprocess.check_output('id', shell=True).decode()", DENIED, real=True)
attack("open a pipe to a shell", "import os\nreturn os.popen('id').read()", DENIED, real=True)
attack("become a shell", "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo 1'])", DENIED + "|" + GONE)
attack("spawn a program", "import os\nreturn os.posix_spawn('/bin/true', ['true'], {})", DENIED, real=True)
attack("spawn on a terminal", "import os\npid, _ = os.forkpty()\npid or os._exit(0)\nreturn pid", f"{DENIED}|{GONE}")
attack(
    "run a program from memory",
    """
    import os
    file = os.memfd_create("program")
    os.write(file, b"#!/bin/sh\\necho x")
    os.execve(file, ["program"], {})
    """,
    DENIED,
)
attack(
    "run a program from /tmp",
    """
    import os
    with open("/tmp/program", "w") as file:
        file.write("#!/bin/sh\\nexit 0")
    os.chmod("/tmp/program", 0o6755)
    os.execv("/tmp/program", ["program"])
    """,
    DENIED,
)
attack(
    "use a process pool",
    """
    import multiprocessing
    worker = multiprocessing.get_context("fork").Process(target=print)
    worker.start()
    return 1
    """,
    DENIED,
)

# -- more processes --
attack("fork", "import os\npid = os.fork()\npid or os._exit(0)\nreturn pid", DENIED, real=True)
attack(
    "fork bomb",
    """
    import os, time
    count = 0
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        count += 1
    return count
    """,
    DENIED,
)
attack(
    "leave a child behind",
    """
    import os, time
    if os.fork() == 0:
        time.sleep(0.3)
        open(host["folder"] + "/pwned", "w").close()
        os._exit(0)
    return 1
    """,
    DENIED,
)
attack(
    "leave a grandchild in a session of its own",
    """
    import os, signal, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(number, signal.SIG_IGN)
            time.sleep(2)
        os._exit(0)
    return 1
    """,
    DENIED,
)
attack("fork past the library", SYSCALL + "\npid = syscall(57)\npid or os._exit(0)\nreturn pid", DENIED, real=True)
attack(
    "clone past the library",
    SYSCALL + "\npid = syscall(56, 17, 0, 0, 0, 0)\npid or os._exit(0)\nreturn pid",
    DENIED,
    real=True,
)
attack(
    "clone by the newer call",
    SYSCALL + "\npid = syscall(435, bytes(88), 88)\npid or os._exit(0)\nreturn pid",
    "not implemented",
)
attack(
    "clone into a namespace",
    SYSCALL + "\npid = syscall(56, 0x10000011, 0, 0, 0, 0)\npid or os._exit(0)\nreturn pid",
    DENIED,
)
attack(
    "thread bomb",
    """
    import threading
    stop = threading.Event()
    for _ in range(200):
        threading.Thread(target=stop.wait, args=(3,), daemon=True).start()
    return threading.active_count()
    """,
    "can't start new thread",
)
attack("leave the session", "import os\nos.setsid()\nreturn 1", DENIED)
attack(
    "take real-time priority", "import os\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))\nreturn 1", DENIED
)

# -- signals --
attack("kill another process", "import os\nos.kill(host['victim'], 9)\nreturn 1", "ProcessLookupError|PermissionError")
attack(
    "reach the parent by a signal",
    "import os\nos.kill(host['parent'], 0)\nreturn 1",
    "ProcessLookupError|Permission",
    real=True,
)
attack("reach everybody by a signal", "import os\nos.kill(-1, 0)\nreturn 1", "ProcessLookupError|PermissionError")
attack(
    "kill the group of processes",
    "import os\nos.kill(0, 9)\nos.killpg(0, 9)\nraise RuntimeError('nobody else there')",
    "nobody else there|SIGKILL",
    kinds=("error", "killed"),
)
attack(
    "kill the supervisor",
    "import os\nos.kill(os.getppid() or 1 << 22, 9)\nreturn 1",
    "ProcessLookupError|PermissionError",
)
attack(
    "get signals from a descriptor",
    "import fcntl, os\nreading, _ = os.pipe()\nfcntl.fcntl(reading, fcntl.F_SETOWN, host['parent'])\nreturn 1",
    DENIED,
)
attack("stay when the supervisor goes", SYSCALL + "\nreturn syscall(157, 1, 0, 0, 0, 0) + 1", DENIED, real=True)
IGNORE = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
"""
attack("ignore every signal and spin", IGNORE + "\nwhile True: pass", "out of", kinds=("timeout",), cpu_s=0.2)
attack(
    "ignore every signal and sleep",
    IGNORE + "\nimport time\nwhile True: time.sleep(9)",
    "out of",
    kinds=("timeout",),
    wall_s=0.3,
)
attack(
    "catch every exception",
    """
    while True:
        try:
            while True: pass
        except BaseException:
            pass
    """,
    "out of",
    kinds=("timeout",),
    wall_s=0.3,
)
attack("kill itself", "import ctypes\nctypes.string_at(0)", "SIGSEGV", kinds=("killed",))
attack("abort", "import os\nos.abort()", "SIG(SEGV|ABRT|ILL)", kinds=("killed",))
attack(
    "leave a thread running",
    """
    import threading
    def spin():
        while True: pass
    for _ in range(3):
        threading.Thread(target=spin).start()
    raise RuntimeError("left threads")
    """,
    "left threads",
)
