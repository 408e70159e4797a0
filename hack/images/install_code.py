"""Makes the sources beside this file importable in the image's virtual environment, with bytecode and metadata.

`--command` adds the `corepoint` command. `--assert-absent MODULE…` only checks that the image is without those modules.
"""

from __future__ import annotations

import compileall
import py_compile
import site
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
COMMAND = """#!{python}
import sys

from {module} import {function}

sys.exit({function}())
"""


def install(*, command: bool) -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    packages = Path(site.getsitepackages()[0])
    # A path file works in every child process, also in those that get a scrubbed environment without PYTHONPATH.
    (packages / "corepoint.pth").write_text(f"{HERE}\n")
    metadata = packages / f"corepoint-{project['version']}.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: corepoint\nVersion: {project['version']}\n")
    if command:
        module, function = project["scripts"]["corepoint"].split(":")
        script = Path(sys.executable).parent / "corepoint"
        script.write_text(COMMAND.format(python=sys.executable, module=module, function=function))
        script.chmod(0o755)
    for name in ("app", "flows", "workers"):
        # By content, because the times of files change when an image is copied.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        if not compileall.compile_dir(HERE / name, quiet=1, force=True, invalidation_mode=unchecked):
            sys.exit(f"install_code: {name} has a file that does not compile")


def found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["--assert-absent"]:
        unwanted = [module for module in sys.argv[2:] if found(module)]
        sys.exit(f"install_code: this image must not have {', '.join(unwanted)}" if unwanted else 0)
    install(command="--command" in sys.argv)
