"""Makes the virtual environment and installs what is pinned. Standard library only; each failure is one sentence."""

import subprocess
import sys
from pathlib import Path

FLOOR = (3, 11)


def main() -> int:
    """`setup.py VENV REQUIREMENTS`."""
    venv, requirements = Path(sys.argv[1]), sys.argv[2]
    if sys.version_info < FLOOR:
        print(
            f"Python {FLOOR[0]}.{FLOOR[1]} or newer is needed, this is {sys.version.split()[0]}: apt-get install python3"
        )
        return 1
    try:
        import ensurepip  # noqa: F401
        import venv as _venv  # noqa: F401
    except ImportError:
        print("Python cannot make a virtual environment here: apt-get install python3-venv")
        return 1
    print(f"Installing what {requirements} pins into {venv}/ (about half a minute)")
    if not (venv / "bin" / "python").exists() and subprocess.run([sys.executable, "-m", "venv", venv]).returncode:
        print("The virtual environment cannot be made: apt-get install python3-venv")
        return 1
    pip = [
        venv / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--require-hashes",
    ]
    if subprocess.run([*pip, "--root-user-action=ignore", "-r", requirements]).returncode:
        print("The packages cannot be installed: see above; is the package index reachable?")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
