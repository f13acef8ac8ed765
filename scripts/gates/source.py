"""What the gates share: which files a tree has, and how a finding is told."""
import os
import re
import subprocess
import sys

SKIPPED_FOLDERS = {".git", ".venv", "build", "out", "__pycache__",
                   ".pytest_cache"}


def root():
    """The tree to judge: the first argument, or the one the gate lies in."""
    if len(sys.argv) > 1:
        return os.path.abspath(sys.argv[1])
    return os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def files(top, pattern=r".*"):
    """Paths below top that match, sorted: what git tracks or would add."""
    if os.path.exists(os.path.join(top, ".git")):
        out = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=top, check=True, stdout=subprocess.PIPE).stdout.decode()
        paths = [p for p in out.split("\0")
                 if p and os.path.isfile(os.path.join(top, p))]
    else:
        paths = []
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [d for d in subfolders if d not in SKIPPED_FOLDERS]
            paths += [os.path.relpath(os.path.join(folder, n), top)
                      for n in names]
    return sorted(p for p in set(paths) if re.fullmatch(pattern, p))


def lines(top, path):
    """Numbered lines of a text file; none for a binary one."""
    with open(os.path.join(top, path), "rb") as f:
        data = f.read()
    if b"\0" in data:
        return []
    return list(enumerate(data.decode(errors="replace").splitlines(), 1))


class Findings:
    def __init__(self, gate):
        self.gate = gate
        self.count = 0

    def add(self, path, line, text):
        print(f"{path}:{line}: {self.gate}: {text}")
        self.count += 1

    def finish(self):
        sys.exit(1 if self.count else 0)
