"""The table of supported APIs in `src/api/README.md`, made from the routes.

`python -m tests.support.api_table` writes it anew; a test compares the two.
"""

from headrace.api.handlers.routes import ROUTES, Route
from headrace.api.wire.registry import schema_versions
from tests.support.source_tree import ROOT

README = ROOT / "src" / "api" / "README.md"
BEGIN, END = "<!-- table of routes: begin -->\n", "<!-- table of routes: end -->\n"


def table_of_routes() -> str:
    """One row an API, by key."""
    rows = [_row(ROUTES[api_key]) for api_key in sorted(ROUTES)]
    return "\n".join(["| key | API | versions | answered in |", "|---|---|---|---|", *rows, ""])


def table_in_readme() -> str:
    """What stands between the two marks."""
    _, _, rest = README.read_text().partition(BEGIN)
    table, mark, _ = rest.partition(END)
    assert mark, f"{README} has lost its marks {BEGIN!r} and {END!r}"
    return table


def _row(route: Route) -> str:
    spoken_from, _ = schema_versions(route.api_key)
    versions = str(route.max_version)
    if route.min_version < route.max_version:
        versions = f"{route.min_version}-{route.max_version}"
    if spoken_from > route.min_version:
        versions += f" (spoken from {spoken_from})"
    module = route.handler.__module__.removeprefix("headrace.api.").replace(".", "/")
    return f"| {int(route.api_key)} | {route.api_key.api_name} | {versions} | `{module}.py` |"


if __name__ == "__main__":
    before, after = BEGIN + table_in_readme() + END, BEGIN + table_of_routes() + END
    README.write_text(README.read_text().replace(before, after))
