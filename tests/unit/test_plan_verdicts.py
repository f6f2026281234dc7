"""What of the files is tried, where, and which of the API server's warnings lint has told already."""

from typing import Any

import pytest
import yaml

from choregos_cli.errors import MisuseError
from choregos_cli.planning.verdicts import Given, given_in, told
from choregos_contract.checks import check
from choregos_contract.document import resource_of
from choregos_contract.resources import Choreography
from choregos_operator.store import Store
from choregos_operator.webhook.validation import validate
from support.admission_reviews import orders, request
from support.choreographies import choreography

SHOP = choreography({"shop": {"emits": ["OrderPlaced"]}})


def text(namespace: str | None = None, name: str = "shop") -> str:
    body: dict[str, Any] = SHOP.model_dump(mode="json", by_alias=True, exclude_unset=True)
    body["metadata"] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return str(yaml.safe_dump(body))


def where(found: tuple[Given, ...]) -> list[str]:
    return [each.identity for each in found]


def test_documents_of_ours_are_tried_each_in_its_own_namespace() -> None:
    foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
    texts = {"a.yaml": f"{text()}---\n{foreign}", "b.yaml": text("west", "second")}
    found = given_in(texts, namespace="here", forced=False)
    assert where(found) == ["Choreography/here/shop", "Choreography/west/second"]


def test_a_document_of_another_namespace_contradicts_the_option() -> None:
    assert where(given_in({"a": text("here")}, namespace="here", forced=True)) == ["Choreography/here/shop"]
    with pytest.raises(MisuseError, match="Choreography/west/shop names another namespace than --namespace here"):
        given_in({"a": text("west")}, namespace="here", forced=True)


def test_what_lint_tells_is_known_again_among_the_warnings_of_the_webhook() -> None:
    body = orders()
    body["spec"]["events"] |= {"Unheard": {}}
    body["spec"]["services"]["front"]["emits"] += ["Unheard"]
    read = resource_of(body)
    assert isinstance(read, Choreography)
    mine = [told(each) for each in check(read)]
    assert mine
    assert list(validate(request(body), Store(), orphan_ttl=1.0).warnings) == mine
