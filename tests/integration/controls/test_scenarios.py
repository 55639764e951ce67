"""Every recorded machine gives the outcomes, causes and data that its scenario expects; wording is free."""

import pytest

from tests.support.scenario import scenarios
from tests.support.scenario_fleet import FleetRun


@pytest.mark.parametrize("name", scenarios())
def test_every_control_gives_the_outcome_that_the_scenario_says(fleet_run: FleetRun, name: str) -> None:
    assert scenarios()[name].disagreements(fleet_run.outcomes(name)) == {}, fleet_run.output[-2000:]


def test_a_scenario_lists_only_what_does_not_follow_from_its_base() -> None:
    """Delete what this names: a rule of `consequences.yaml` or the base has it already."""
    repeated = {name: sorted(scenario.repeated()) for name, scenario in scenarios().items() if scenario.repeated()}
    assert repeated == {}


@pytest.mark.parametrize("name", [name for name, scenario in scenarios().items() if list(scenario.messages())])
def test_the_message_names_what_was_found(fleet_run: FleetRun, name: str) -> None:
    results = fleet_run.results[name]
    for subject, control, text in scenarios()[name].messages():
        assert text in results[subject, control]["message"]


@pytest.mark.parametrize(
    ("name", "domain"),
    [(name, domain) for name, each in scenarios().items() for domain, case in each.domains.items() if case.diagnosis],
)
def test_every_guest_is_diagnosed_as_the_scenario_says(fleet_run: FleetRun, name: str, domain: str) -> None:
    case = scenarios()[name].domains[domain]
    expected, is_required = case.diagnosis, (case.declared or {}).get("nested") != "forbidden"
    assert expected is not None
    said = fleet_run.diagnoses()[f"{name}.{domain}"]
    assert (said["can_nest"], said["broken_link"], said["cause"]) == (
        expected.can_nest,
        expected.broken_link,
        expected.cause,
    ), said["explanation"]
    assert len(said["warnings"]) == len(expected.warns), said["warnings"]
    assert all(text in warning for text, warning in zip(expected.warns, said["warnings"], strict=True))
    assert bool(said["remediation"]) is (expected.can_nest == "no" and is_required)
