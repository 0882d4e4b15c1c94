"""Memory in pages of 2 MiB, not 4 KiB: a convolutional meta-step then waits less for it."""

import os
import platform
import sys
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb"
LEAST_VERSION = (2, 35)  # of the GNU C library
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def environment() -> dict[str, str]:
    """Variables under which a new process asks for huge pages.

    Empty where that changes nothing: no GNU C library, a kernel that gives huge pages to all or to
    none, or a user who has set the matter.
    """
    name, version = platform.libc_ver()
    is_new = name == "glibc" and tuple(map(int, version.split(".")[:2])) >= LEAST_VERSION
    before = os.environ.get(VARIABLE, "")
    if not is_new or SETTING in before or not MODE.exists() or "[madvise]" not in MODE.read_text():
        return {}
    return {VARIABLE: f"{before}:{SETTING}=1".lstrip(":")}


def restart_with_huge_pages() -> None:
    """Starts this program again, in the same process, if it is to have another environment.

    The C library reads the setting only as it starts.
    """
    if variables := environment():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | variables)
