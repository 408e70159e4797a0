"""The HTML report: complete, self-contained, and safe whatever its texts hold."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from app.contracts.comparison import Comparison, Ratio, Statistics
from app.contracts.failures import FailureCode
from app.contracts.states import RunState, TrialState, Verdict
from app.ui.report.figures import PLOTTED_GROUPS, plots
from app.ui.report.headline import sentences
from app.ui.report.render import render_report
from app.ui.report.rows import overview
from tests.unit.report.made_up import (
    comparison,
    entry,
    failed,
    group,
    many_tasks,
    reference,
    three_implementations,
    timing,
)

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028{{ 7*7 }}"


class Page(HTMLParser):
    """What a browser would find: tags with attributes, visible text, and each script's own text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._open: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._open = tag
            if tag == "script":
                self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._open is None:
            self.text += data

    @property
    def data(self) -> Comparison:
        return Comparison.model_validate_json(next(t for a, t in self.scripts if a.get("id") == "comparison"))


def plot(made: Comparison, name: str) -> dict[str, object]:
    return next(p for p in plots(made) if p.id == name).figures[0]


def test_headline_answers_same_result_and_how_much_faster() -> None:
    assert sentences(three_implementations()) == [
        "3 of 3 implementations identical.",
        "sklearn-dbscan-parallel is 1.80× faster than sklearn-dbscan [1.70, 1.90].",  # noqa: RUF001
    ]


def test_an_interval_that_holds_one_is_called_equally_fast() -> None:
    ratio = Ratio(estimate=1.05, low=0.97, high=1.1, paired=True, rounds=7)
    said = sentences(comparison([group([reference(), entry("other", 1.8, ratio=ratio)])]))
    assert "equally fast" in said[1]


def test_a_slower_rival_leaves_the_reference_the_fastest() -> None:
    ratio = Ratio(estimate=0.31, low=0.29, high=0.33, paired=False, rounds=7)
    said = sentences(comparison([group([reference(), entry("other", 5.8, ratio=ratio)])]))
    assert said[1].startswith("sklearn-dbscan is the fastest")
    assert "measured apart" in said[1]


def test_a_different_result_is_never_called_faster() -> None:
    wrong = entry(
        "wrong", 0.1, verdict=Verdict.DIFFERENT, ratio=Ratio(estimate=18, low=17, high=19, paired=True, rounds=7)
    )
    said = sentences(comparison([group([reference(), wrong])]))
    assert said == ["1 of 2 implementations identical, 1 different and therefore not ranked."]


def test_headline_counts_failures_by_reason() -> None:
    made = comparison([group([reference(), failed("a"), failed("b"), failed("c", FailureCode.TIMEOUT)])])
    assert sentences(made)[-1] == "3 of 4 trials have no result: 2 memout, 1 timeout."


def test_a_running_run_says_so_first() -> None:
    assert "running" in sentences(three_implementations(state=RunState.RUNNING))[0]


def test_page_shows_every_figure_a_reader_asks_for() -> None:
    text = Page(render_report(three_implementations())).text
    for wanted in (
        "cities", "identical", "40.0 MiB", "vmhwm", "412", "8.3 %", "0.41", "78.3 k", "reused", "unpaired",
        "over 50 million pairs: not computed", "AMD EPYC 7763", "2 CPUs", "eps = 0.05", "bootstrap", "0.31×",  # noqa: RUF001
    ):  # fmt: skip
        assert wanted in text, wanted


def test_failures_are_shown_with_reason_and_hint() -> None:
    text = Page(render_report(comparison([group([reference(), failed("spark-dbscan")])]))).text
    assert "the sample used 6.2 GiB; its limit is 6.0 GiB" in text
    assert "Raise protocol.limits.memory" in text


def test_page_loads_nothing_from_a_network() -> None:
    page = Page(render_report(many_tasks()))
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("#", "data:")), (tag, name, value)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_only_scripts_named_by_their_hash_can_run() -> None:
    import base64
    import hashlib

    page = Page(render_report(three_implementations()))
    policy = next(a["content"] or "" for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    programs = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    assert len(programs) == 2
    for text in programs:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_hostile_text_stays_text_everywhere() -> None:
    made = comparison(
        [
            group(
                [
                    reference(label=HOSTILE, parameters={"eps": 0.05, HOSTILE: HOSTILE}),
                    entry("x" + HOSTILE, 1.0, verdict_reason=HOSTILE),
                    failed(HOSTILE + "y", message=HOSTILE),
                ],
                dataset=HOSTILE,
            ),
            group([reference(label=HOSTILE)], dataset="other"),
        ],
        experiment=HOSTILE,
        description=HOSTILE,
        reference=HOSTILE,
        statistics=Statistics(reason=HOSTILE, mean_ranks={HOSTILE: 1.0}),
    )
    html = render_report(made)
    page = Page(html)
    assert not [tag for tag, attributes in page.tags if tag == "img" or "onerror" in attributes]
    assert len([1 for attributes, _ in page.scripts if attributes.get("type") != "application/json"]) == 2
    assert "<script>alert" not in html
    assert "{{ 7*7 }}" in page.text
    assert page.data == made


def test_plots_hold_no_markup_of_the_data() -> None:
    made = comparison([group([reference(label="<a href='https://evil.example'>x</a>"), entry("b", 1.0)])])
    assert "<a" not in json.dumps([p.figures for p in plots(made)])


def test_embedded_json_is_the_comparison_itself() -> None:
    made = three_implementations()
    assert Page(render_report(made)).data == made


def test_every_sample_is_a_dot_with_the_median_and_middle_half_behind_it() -> None:
    figure = plot(three_implementations(), "samples")
    first = figure["data"][-1]  # type: ignore[index]
    assert first["x"] == timing(1.84).samples
    assert len(figure["layout"]["shapes"]) == 6  # type: ignore[index]


def test_one_trial_makes_a_page_with_its_samples_and_no_comparison_plots() -> None:
    made = comparison([group([reference(memory=None, predicted_bytes=None)])])
    assert [p.id for p in plots(made)] == ["samples", "drift"]
    assert "sklearn-dbscan" in Page(render_report(made)).text


def test_failures_alone_make_a_page_without_plots() -> None:
    made = comparison([group([failed("a", is_reference=True), failed("b")])], state=RunState.FAILED)
    html = render_report(made)
    assert plots(made) == []
    assert "2 of 2 trials have no result" in Page(html).text
    assert len(html) < 100_000


def test_nothing_measured_is_said() -> None:
    text = Page(render_report(comparison([], environments=[], state=RunState.QUEUED))).text
    assert "Nothing has been measured." in text


def test_growth_needs_three_sizes_and_names_its_exponent() -> None:
    figure = plot(many_tasks(), "growth")
    assert figure["data"][0]["name"] == "sklearn-dbscan  (n^1.21)"  # type: ignore[index]
    assert "growth" not in [p.id for p in plots(many_tasks(4))]


def test_profile_counts_failures_and_uncertified_results_as_never_solved() -> None:
    traces = {t["name"]: t for t in plot(many_tasks(8), "profile")["data"]}  # type: ignore[attr-defined]
    assert traces["spark-dbscan"]["y"][-1] == pytest.approx(7 / 8)
    assert traces["fast-approximate"]["y"][-1] == 0
    assert traces["sklearn-dbscan-parallel"]["y"][1] == pytest.approx(1 / 8)
    assert traces["sklearn-dbscan-parallel"]["x"][-2] == 1.0


def test_an_implementation_keeps_its_colour_in_every_plot() -> None:
    colours = {
        trace["marker"]["color"]
        for p in plots(many_tasks())
        for figure in p.figures
        for trace in figure["data"]
        if trace.get("name", "").startswith("spark-dbscan")
    }
    assert len(colours) == 1


def test_two_hundred_tasks_are_all_in_the_table_and_some_in_the_plots() -> None:
    made = comparison([group([reference(), entry("b", 1.0)], eps=0.01 + i / 1000) for i in range(200)])
    html = render_report(made)
    page = Page(html)
    assert len([1 for tag, a in page.tags if tag == "details"]) == 200
    assert len([1 for tag, a in page.tags if tag == "details" and "open" in a]) == 1
    assert len(next(p for p in plots(made) if p.id == "samples").figures) == PLOTTED_GROUPS
    assert f"The first {PLOTTED_GROUPS} of 200 tasks are plotted" in page.text
    assert len(html) < 8_000_000


def test_skipped_trials_are_explained_but_not_alarming() -> None:
    made = comparison(
        [group([reference(), failed("big", FailureCode.TOO_LARGE, "estimated 90 GiB", state=TrialState.SKIPPED)])]
    )
    assert re.search(r'class="badge plain" title="estimated 90 GiB">skipped: too_large', render_report(made))


def test_trials_of_one_label_are_told_apart_by_what_differs() -> None:
    grid = [
        entry("tree", seconds, parameters={"eps": 0.05, "leaf_size": leaf}) for leaf, seconds in ((10, 1.2), (90, 0.9))
    ]
    figure = plot(comparison([group([reference(), *grid])]), "samples")
    names = figure["layout"]["yaxis"]["ticktext"]  # type: ignore[index]
    assert names == ["tree (leaf_size = 90)", "tree (leaf_size = 10)", "sklearn-dbscan"]


def test_the_fastest_trial_of_a_label_stands_for_it_in_the_overview() -> None:
    grid = [entry("tree", seconds, parameters={"leaf_size": leaf}) for leaf, seconds in ((10, 0.9), (90, 1.2))]
    made = comparison([group([reference(), *grid], eps=eps) for eps in (0.1, 0.2)])
    shown = overview(made)
    assert shown is not None
    assert [row and row.entry.parameters.get("leaf_size") for row in shown.lines[0][1]] == [30, 10]
