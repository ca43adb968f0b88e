"""The README of `api` names exactly what the broker advertises."""

import pytest

from headrace.api.handlers.routes import ROUTES, Route
from headrace.api.wire.registry import schema_versions
from tests.support.api_table import table_in_readme, table_of_routes


def test_the_readme_lists_every_route_and_its_versions() -> None:
    assert table_in_readme() == table_of_routes(), "run: python -m tests.support.api_table"


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda route: route.api_key.name)
def test_every_advertised_version_is_declared(route: Route) -> None:
    low, high = schema_versions(route.api_key)
    assert route.max_version <= high
    assert route.min_version >= low or route.api_key.name == "PRODUCE"
