"""Attacks on the answer: bytes on every descriptor that can be reached, in the shape of what the trusted side says."""

from .attack import attack

WRITE = """
import json, os
def everywhere(text):
    for number in range(64):
        try:
            os.write(number, text if isinstance(text, bytes) else json.dumps(text).encode())
        except OSError:
            pass
"""
STOP = "\nos._exit(0)"
BAD = "cannot be taken"

attack("forge by printing", WRITE + "\nprint(json.dumps({'value': 42}), flush=True)" + STOP, "ended the process itself")
attack("forge a report", WRITE + "\neverywhere({'kind': 'value', 'value': 42})" + STOP, BAD)
attack("forge a report of one key", WRITE + "\neverywhere({'kind': 'value'})" + STOP, BAD)
attack("pretend that the machine is at fault", WRITE + "\neverywhere({'unavailable': 'no isolation'})" + STOP, BAD)
attack("pretend that the request was refused", WRITE + "\neverywhere({'refused': 'too large'})" + STOP, BAD)
attack("pretend to be ready", WRITE + "\neverywhere({'ready': []})" + STOP, BAD)
attack("answer twice", WRITE + "\neverywhere({'value': 42})\nreturn 41", "Extra data")
attack("answer, then fail", WRITE + "\neverywhere({'value': 42})\nraise ValueError", "Extra data")
attack("answer, then exit badly", WRITE + "\neverywhere({'value': 42})\nos._exit(3)", "exit code 3")
attack(
    "answer, then sleep",
    WRITE + "\neverywhere({'value': 42})\nimport time\ntime.sleep(9)",
    "out of",
    kinds=("timeout",),
    wall_s=0.3,
)
attack(
    "answer, then spin",
    WRITE + "\neverywhere({'value': 42})\nwhile True: pass",
    "out of",
    kinds=("timeout",),
    cpu_s=0.3,
)
attack(
    "answer, then crash",
    WRITE + "\neverywhere({'value': 42})\nimport ctypes\nctypes.string_at(0)",
    "SIGSEGV",
    kinds=("killed",),
)
attack(
    "answer, then flood",
    WRITE + "\neverywhere({'value': 42})\neverywhere(bytes(2**21))",
    "value takes more",
    kinds=("output",),
)
attack("answer with two keys", WRITE + "\neverywhere({'value': 42, 'kind': 'value'})" + STOP, BAD)
attack("answer with a list", WRITE + "\neverywhere([{'value': 42}])" + STOP, BAD)
attack("answer with an error that is none", WRITE + "\neverywhere({'error': {'value': 42}})" + STOP, BAD)
attack("answer with a number that is none", WRITE + "\neverywhere(b'{\"value\": 1e999}')" + STOP, BAD)
attack("answer in depth", WRITE + "\neverywhere(b'{\"value\": ' + b'[' * 90000 + b']' * 90000 + b'}')" + STOP, BAD)
attack("answer with bytes that are no text", WRITE + "\neverywhere(b'\\xff\\xfe\\x00')" + STOP, BAD)
attack(
    "answer with a pickle",
    WRITE
    + """
import pickle
class Bomb:
    def __reduce__(self):
        return os.mkdir, (host["folder"] + "/pwned",)
everywhere(pickle.dumps(Bomb()))
os._exit(0)
""",
    BAD,
)
attack("hang up", "import os\nos.closerange(3, 64)\nreturn 42", "ended the process itself")
attack("leave quietly", "import os\nos._exit(0)", "ended the process itself")
attack("leave by an exception", "raise SystemExit(0)", "SystemExit")
attack("interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt")
attack(
    "break the wrapper",
    """
    import json, os, sys
    json.dumps = json.loads = None
    os._exit = os.write = print
    sys.modules.clear()
    return 42
    """,
    "ended the process itself|cannot be taken|out of",
    kinds=("error", "timeout", "killed"),
    wall_s=0.3,
)
