import platform
import subprocess
import sys

import pytest

from jaxmeta.command import huge_pages

HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.fixture
def mode(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(huge_pages, "MODE", tmp_path / "enabled")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return tmp_path / "enabled"


def test_huge_pages_are_asked_for_where_the_kernel_waits_for_it(mode):
    assert huge_pages.environment() == {}  # Not Linux.
    mode.write_text("always [madvise] never\n")
    assert huge_pages.environment() == HUGE
    for other in ("[always] madvise never", "always madvise [never]"):
        mode.write_text(other)
        assert huge_pages.environment() == {}


@pytest.mark.parametrize("library", [("", ""), ("glibc", "2.31"), ("musl", "1.2")])
def test_other_c_libraries_are_left_alone(mode, monkeypatch, library):
    mode.write_text("always [madvise] never\n")
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    assert huge_pages.environment() == {}


def test_what_the_user_set_stays(mode, monkeypatch):
    mode.write_text("always [madvise] never\n")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    both = "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"
    assert huge_pages.environment() == {"GLIBC_TUNABLES": both}
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert huge_pages.environment() == {}


def test_a_program_starts_again_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from jaxmeta.command.huge_pages import environment, restart_with_huge_pages\n"
        "print(os.getpid(), flush=True)\n"
        "restart_with_huge_pages()\n"
        "print(environment(), *sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, script, "a b", "c"], capture_output=True, text=True, check=True
    )
    *starts, said = done.stdout.splitlines()
    assert said == "{} a b c"
    assert len(set(starts)) == 1 and len(starts) == (2 if huge_pages.environment() else 1)
