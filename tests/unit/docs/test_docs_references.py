"""The documentation follows the code: generated pages are current, links lead somewhere, worked examples work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli.documents import load
from app.contracts.dataset import DatasetSpec
from app.contracts.states import Verdict
from app.domain.certificate import verdict
from workers.algorithms import registry
from workers.algorithms.adapter import Adapter, Resources
from workers.datasets.limits import PrepareLimits
from workers.datasets.prepare import prepare
from workers.evaluate.fingerprint import fingerprint
from workers.evaluate.validate import check

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"
ADD_AN_ALGORITHM = ROOT / "docs" / "how-to" / "add-an-algorithm.md"
BRING_YOUR_OWN_DATA = ROOT / "docs" / "how-to" / "bring-your-own-data.md"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def generator(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "hack" / "references.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a browser can be sent to: ids, and headings as GitHub names them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return set(re.findall(r'<a id="([^"]+)">', text)) | {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


def test_the_reference_pages_are_what_the_code_says_now(tmp_path: Path) -> None:
    # Neither the settings nor the temporary folder of a machine may reach a page.
    answer = generator("--check", TMPDIR=str(tmp_path), COREPOINT_API__PAGE="7", COREPOINT_OBJECTS__BUCKET="another")
    assert (answer.stdout, answer.stderr, answer.returncode) == ("", "", 0)


def test_a_page_that_was_edited_is_missing_or_has_no_source_is_named(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path / "reference")
    (tmp_path / "reference" / "cli.md").write_text("edited", encoding="utf-8")
    (tmp_path / "reference" / "problems.md").unlink()
    (tmp_path / "reference" / "old.md").write_text("of a page that is no more", encoding="utf-8")
    answer = generator("--check", "--folder", str(tmp_path / "reference"))
    assert answer.returncode == 1
    assert [line.split()[0] for line in answer.stdout.splitlines()] == ["cli.md", "old.md", "problems.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_place_in_it(page: Path) -> None:
    broken = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_document_shown_is_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert load(text, page.name)


def the_adapter() -> Adapter[Any]:
    (source,) = blocks(ADD_AN_ALGORITHM, "python")
    namespace: dict[str, Any] = {"__name__": "my_dbscan"}
    exec(compile(source, str(ADD_AN_ALGORITHM), "exec"), namespace)  # noqa: S102 - our own documentation
    adapter = namespace["TreeDbscan"]()
    assert isinstance(adapter, Adapter)
    return adapter


@pytest.mark.parametrize(("n", "eps", "min_samples"), [(0, 0.1, 5), (1, 0.1, 1), (400, 0.08, 5), (400, 5.0, 3)])
def test_the_adapter_of_the_how_to_clusters_as_the_reference_does(
    n: int, eps: float, min_samples: int, tmp_path: Path
) -> None:
    points = np.random.default_rng(4).normal(size=(n, 2))
    parameters = {"eps": eps, "min_samples": min_samples}
    resources = Resources(threads=1, memory_limit_bytes=1 << 30, scratch=tmp_path)
    prints = []
    for adapter in (registry.get("sklearn-dbscan"), the_adapter()):
        assert adapter.missing() is None
        found = adapter.fit(points, adapter.canonical_parameters(parameters), resources)
        check(found, n)
        prints.append(fingerprint(points, found.labels, found.core, eps))
    assert verdict(prints[0], prints[1], exact=True)[0] in {Verdict.IDENTICAL, Verdict.BORDER_ONLY}


def test_the_adapter_of_the_how_to_is_found_once_its_distribution_is_installed(tmp_path: Path) -> None:
    (source,) = blocks(ADD_AN_ALGORITHM, "python")
    (project,) = map(tomllib.loads, blocks(ADD_AN_ALGORITHM, "toml"))
    (tmp_path / "my_dbscan.py").write_text(source, encoding="utf-8")
    installed = tmp_path / "my_dbscan-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-dbscan\nVersion: 1.0\n", encoding="utf-8")
    lines = [
        line
        for group, entries in project["project"]["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-c", "from workers.algorithms.registry import get; print(get('tree-dbscan').info.title)"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("DBSCAN over SciPy's k-d tree\n", "")


def test_the_data_of_the_how_to_is_prepared_as_it_says(tmp_path: Path) -> None:
    (table,) = blocks(BRING_YOUR_OWN_DATA, "csv")
    (loaded,) = load(blocks(BRING_YOUR_OWN_DATA, "yaml")[0], "trips.yaml")
    assert isinstance(loaded.spec, DatasetSpec)
    (tmp_path / "trips.csv").write_text(table, encoding="utf-8")
    files = prepare(loaded.spec, tmp_path / "trips.csv", tmp_path / "out", PrepareLimits())
    profile = files.profile
    assert (profile.rows_read, profile.rows_missing, profile.rows_outside_box) == (6, 1, 1)
    assert (profile.n, profile.d, profile.has_truth) == (4, 2, True)
