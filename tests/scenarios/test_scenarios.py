"""Every recorded machine is judged as its scenario says: each control, its cause, and what its message tells."""

import pytest

from tests.scenarios.fleet import FleetRun
from tests.scenarios.scenario import scenarios


@pytest.mark.parametrize("name", scenarios())
def test_every_control_gives_the_outcome_that_the_scenario_says(fleet_run: FleetRun, name: str) -> None:
    assert fleet_run.outcomes(name) == scenarios()[name].expected(), fleet_run.output[-2000:]


@pytest.mark.parametrize("name", [name for name, scenario in scenarios().items() if list(scenario.messages())])
def test_the_message_tells_what_was_found(fleet_run: FleetRun, name: str) -> None:
    results = fleet_run.results[name]
    for subject, control, text in scenarios()[name].messages():
        assert text in results[subject, control]["message"]
