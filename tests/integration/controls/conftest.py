"""One run of the suite over all scenarios."""

import pytest

from tests.support.scenario_fleet import FleetRun, run_fleet


@pytest.fixture(scope="session")
def fleet_run(tmp_path_factory: pytest.TempPathFactory) -> FleetRun:
    return run_fleet(tmp_path_factory.mktemp("fleet"))
