"""Documents: YAML 1.2 or JSON, read safely, refused with the place of every fault."""

from __future__ import annotations

import json

import pytest

from app.cli.documents import load
from app.cli.exits import CommandError
from app.contracts.experiment import ExperimentSpec
from tests.unit.cli.views import EXPERIMENT_DOCUMENT

EXPERIMENT = """
apiVersion: corepoint/v1
kind: Experiment
name: cities
datasets: [world-cities]
parameters:
  eps: [1e-3, 0.05]
algorithms:
  - algorithm: sklearn-dbscan
notifications:
  - url: https://example.org/hook
    on: [failed]
"""


def refused(text: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        load(text, "x.yaml")
    return caught.value


def test_several_documents_keep_their_order_and_kind() -> None:
    text = f"kind: Dataset\nname: world-cities\nsource: {{builtin: world-cities}}\n---\n{EXPERIMENT}\n---\n"
    assert [(one.spec.kind, one.spec.name) for one in load(text, "x.yaml")] == [
        ("Dataset", "world-cities"),
        ("Experiment", "cities"),
    ]


def test_yaml_is_read_as_version_1_2() -> None:
    spec = load(EXPERIMENT, "x.yaml")[0].spec
    assert isinstance(spec, ExperimentSpec)
    assert spec.parameters["eps"] == [1e-3, 0.05]
    assert spec.notifications[0].on == ["failed"]


def test_text_that_yaml_1_1_would_turn_into_something_else_stays_text() -> None:
    text = EXPERIMENT.replace("eps: [1e-3, 0.05]", "mode: [no, 2024-01-01, 12:30, 0x10]")
    spec = load(text, "x.yaml")[0].spec
    assert isinstance(spec, ExperimentSpec)
    assert spec.parameters["mode"] == ["no", "2024-01-01", "12:30", "0x10"]


def test_json_is_a_document_too_even_with_tabs() -> None:
    text = json.dumps(EXPERIMENT_DOCUMENT, indent="\t")
    assert load(text, "x.json")[0].spec.name == "cities"


@pytest.mark.parametrize(
    "text",
    [EXPERIMENT + "name: again\n", '{"kind": "Experiment", "name": "a", "name": "b"}'],
    ids=["yaml", "json"],
)
def test_a_key_given_twice_is_refused(text: str) -> None:
    assert "'name' is given twice" in refused(text).message


def test_every_fault_is_named_with_pointer_and_line() -> None:
    error = refused(EXPERIMENT.replace("name: cities", "name: Cities!\nrouns: 3"))
    places = dict(error.places)
    assert any(place.startswith("x.yaml /name (line 4)") for place in places)
    assert places["x.yaml /rouns (line 5)"] == "unknown key"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no document"),
        ("kind: Pod\nname: x\n", "neither Dataset nor Experiment"),
        ("- 1\n", "neither Dataset nor Experiment"),
        ("kind: [\n", "x.yaml line"),
        ("!!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("? [a, b]\n: 1\n", "keys must be text"),
        (f"{EXPERIMENT}---\n{EXPERIMENT}", "two documents of kind Experiment named 'cities'"),
        ("a: &a [*a]\n", "aliases"),
        ("[" * 5_000, "nested too deeply"),
    ],
)
def test_what_is_no_document_is_refused_in_words(text: str, said: str) -> None:
    assert said in refused(text).message


def test_aliases_that_explode_are_refused_before_they_do() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "aliases" in refused("\n".join(lines)).message


def test_not_a_number_is_refused() -> None:
    assert refused(EXPERIMENT.replace("1e-3", ".nan")).places
