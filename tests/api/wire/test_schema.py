"""The notation of declarations: what it says, and what it refuses."""

import pytest
from kio.schema.errors import ErrorCode as KioErrorCode

from headrace.api.wire import registry
from headrace.api.wire.api_keys import ApiKey, api_name_of
from headrace.api.wire.error_codes import ErrorCode
from headrace.api.wire.schema import (
    ALL_VERSIONS,
    NO_VERSION,
    SchemaError,
    VersionRange,
    declare,
)


def fields_of(text: str) -> object:
    return declare("Example", 1, versions="0-3", flexible="2+", text=text).fields


def test_a_line_says_name_type_versions_null_tag_and_default() -> None:
    message = declare(
        "Example",
        1,
        versions="0-3",
        flexible="none",
        text="""
plain int32
full string 1-2 ?2+ #4 = word
parent [] 3+
  child []int32 ?
  single {}
    leaf bool = true
""",
    )
    plain, full, parent = message.fields
    assert (plain.versions, plain.nullable_versions, plain.tag) == (ALL_VERSIONS, NO_VERSION, -1)
    assert (full.versions, full.nullable_versions) == ((1, 2), VersionRange.parse("2+"))
    assert (full.tag, full.default_value()) == (4, "word")
    assert (parent.is_array, parent.type_name) == (True, "struct")
    child, single = parent.fields
    assert (child.is_array, child.type_name, child.default_value()) == (True, "int32", [])
    assert (single.is_array, single.fields[0].default_value()) == (False, True)
    assert message.flexible == NO_VERSION


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name", "needs a name and a type"),
        ("name int33", "is no type"),
        ("name int32 x+", "no version range"),
        ("parent []\nname int32", "without fields"),
        ("name int32\n  child int32", "indented too far"),
        ("parent []\n    child int32", "indented too far"),
    ],
)
def test_a_line_outside_the_notation_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        fields_of(text)


@pytest.mark.parametrize("api_key", sorted(registry.REQUESTS))
def test_a_request_and_its_response_have_the_same_versions(api_key: int) -> None:
    request, response = registry.REQUESTS[api_key], registry.RESPONSES[api_key]
    assert request.versions == response.versions
    assert request.flexible == response.flexible
    assert request.name == f"{ApiKey(api_key).api_name}Request"
    assert response.name == f"{ApiKey(api_key).api_name}Response"


def test_versions_are_told_by_key() -> None:
    assert registry.schema_versions(0) == (3, 11)
    assert registry.schema_versions(1) == (4, 17)
    with pytest.raises(KeyError):
        registry.schema_versions(71)


def test_an_unknown_key_still_has_something_to_be_called() -> None:
    assert api_name_of(2) == "ListOffsets"
    assert api_name_of(999) == "api key 999"


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_code_is_the_one_that_others_know_by_its_number(code: ErrorCode) -> None:
    theirs = KioErrorCode(code.value)
    assert theirs.name.upper() == code.name
    assert theirs.retriable == code.is_retriable
    assert code.message.endswith(".")


def test_no_error_code_that_others_know_is_missing() -> None:
    assert {code.value for code in KioErrorCode} == {code.value for code in ErrorCode}
