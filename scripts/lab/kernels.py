"""Kernels that the lab boots: Debian's by version, a package, or an image that somebody built.

Nothing is installed: packages are downloaded by apt-get and unpacked into a cache, once.
"""
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from files import fail

FLAVOUR = "cloud-amd64"  # the drivers of virtual machines, and little else


class Unavailable(Exception):
    """A kernel that cannot be had here, with the reason in one line."""


@dataclass(frozen=True)
class Kernel:
    name: str      # for people and folders: its version
    image: Path    # a bzImage
    modules: Path  # the folder with kernel/ and modules.builtin; None: everything is built in


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{' '.join(map(str, command))}: {said[-1] if said else 'failed'}")
    return done.stdout


# ---- Debian ----


def version_key(version):
    """For sorting: numbers by their size, and words before them (6.12~rc1 before 6.12.1)."""
    return [(part.isdigit(), int(part) if part.isdigit() else part)
            for part in re.findall(r"\d+|[a-z]+", version)]


def packages_known():
    """[(version, package)] of the kernels that apt knows, the oldest first."""
    found = []
    for entry in run("apt-cache", "dumpavail").split("\n\n"):
        package = re.search(rf"^Package: (linux-image-\S*\d\S*-{FLAVOUR})$", entry, re.M)
        version = re.search(r"^Version: (\S+)$", entry, re.M)
        # One that depends on another holds no kernel itself.
        if package and version and not re.search(r"^Depends: .*linux-image-", entry, re.M):
            found.append((version.group(1), package.group(1)))
    return sorted(found, key=lambda one: version_key(one[0]))


def matches(version, wanted):
    """"6.1" and "6.1.192" are the beginning of 6.1.192-3; 6.12.117 is no 6.1."""
    return version == wanted or re.match(rf"{re.escape(wanted)}[.+~-]", version) is not None


def debian_package(wanted, known):
    """(version, package), the newest one of what is wanted."""
    fitting = [one for one in known if matches(one[0], wanted)]
    if fitting:
        return fitting[-1]
    versions = sorted({version.split("-")[0] for version, _ in known}, key=version_key)
    raise Unavailable(f"apt knows no kernel {wanted} (apt-get update?); it knows "
                      f"{', '.join(versions) or 'none'}")


def downloaded(package, version, cache):
    """The folder of the unpacked package."""
    folder = cache / f"{package}_{version}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            run("apt-get", "download", "-qq", f"{package}={version}", cwd=work)
            (file,) = Path(work).glob("*.deb")
            run("dpkg-deb", "-x", file, Path(work, "unpacked"))
            Path(work, "unpacked").rename(folder)
    return folder


# ---- All of them ----


def of_folder(folder, name):
    """Of a kernel package that was unpacked."""
    images = list((folder / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise Unavailable(f"{name} holds {len(images)} files boot/vmlinuz-*; expected one")
    # Since Debian 13 and in merged roots below usr/.
    trees = [tree for place in ("lib/modules", "usr/lib/modules")
             for tree in (folder / place).glob("*") if (tree / "kernel").is_dir()]
    return Kernel(name, images[0], trees[0] if trees else None)


def image_version(image):
    """As its header says: setup_header.kernel_version in Documentation/arch/x86/boot.rst."""
    data = image.read_bytes()[:0x8000]
    if data[0x1FE:0x200] != b"\x55\xaa" or data[0x202:0x206] != b"HdrS":
        raise Unavailable(f"{image} is no bzImage")
    at = int.from_bytes(data[0x20E:0x210], "little") + 0x200
    words = data[at:at + 128].split(b"\0")[0].decode("ascii", "replace").split()
    return words[0] if words else image.name


def find_kernel(wanted, modules, cache):
    """Of "6.1", "6.1.174", a .deb or a bzImage (with the folder of its modules, or None)."""
    path = Path(wanted)
    if path.suffix == ".deb":
        if not path.is_file():
            raise Unavailable(f"{wanted} is missing")
        version = run("dpkg-deb", "-f", path, "Version").strip()
        folder = cache / path.stem
        shutil.rmtree(folder, ignore_errors=True)  # another file of that name
        run("dpkg-deb", "-x", path, folder)
        return of_folder(folder, version)
    if "/" in wanted or path.is_file():
        if not path.is_file():
            raise Unavailable(f"{wanted} is missing")
        return Kernel(image_version(path), path, modules)
    if not re.fullmatch(r"\d+\.\d+\S*", wanted):
        fail(f"--kernel {wanted}: expected a version such as 6.1 or 6.1.174, a .deb, or the path "
             "of a bzImage")
    if platform.machine() != "x86_64":
        raise Unavailable(f"the lab knows {FLAVOUR} only, and this is {platform.machine()}")
    version, package = debian_package(wanted, packages_known())
    return of_folder(downloaded(package, version, cache), version)


# ---- Modules ----


def plain_bytes(path):
    """Of a module that may be compressed."""
    unpackers = {".xz": "xz", ".zst": "zstd", ".gz": "gzip"}
    if path.suffix not in unpackers:
        return path.read_bytes()
    done = subprocess.run([unpackers[path.suffix], "-dc", path], capture_output=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{path}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def modules_in_order(kernel, wanted):
    """[(name, bytes)] of the modules, each after those that it needs; one that is built in, or
    that the kernel does not have, is left out: the row that needs it will say so."""
    if kernel.modules is None:
        return []
    files = {path.name.split(".ko")[0].replace("-", "_"): path
             for path in kernel.modules.glob("kernel/**/*.ko*")}
    order = {}

    def add(name):
        name = name.replace("-", "_")
        if name in order or name not in files:
            return
        data = plain_bytes(files[name])
        # What depmod(8) makes modules.dep of.
        needed = re.search(rb"\0depends=([^\0]*)\0", b"\0" + data)
        for other in needed.group(1).decode().split(",") if needed else []:
            if other:
                add(other)
        order[name] = data

    for name in wanted:
        add(name)
    return list(order.items())
