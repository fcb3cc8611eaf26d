from __future__ import annotations

import pytest

from shared.errors import InvalidRequestError, PermissionDeniedError
from shared.identity.owner import Owner, acting_owner
from shared.identity.principal import Principal, PrincipalKind

TENANT = "11111111-1111-4111-8111-111111111111"
ALICE = "abcdef33-3333-4333-8333-333333333333"
BOB = "abcdef44-4444-4444-8444-444444444444"
ISSUER = "https://people.example/"


def user(tenant: str = TENANT, subject: str = ALICE) -> Principal:
    return Principal(PrincipalKind.USER, tenant, subject, "client", frozenset())


def app(tenant: str = TENANT, subject: str = ALICE) -> Principal:
    return Principal(PrincipalKind.APP, tenant, subject, "client", frozenset())


def test_the_partition_is_a_stable_name_that_reveals_nobody() -> None:
    # A known answer: data stored under this name must stay reachable for ever.
    owner = Owner(TENANT, "33333333-3333-4333-8333-333333333333")
    assert owner.partition == "5147f734a18a9d845825aad209b13e7f"


def test_no_two_owners_share_a_partition() -> None:
    owners = [
        Owner(TENANT, ALICE),
        Owner(ALICE, TENANT),
        Owner("https://a.example", "b/c"),
        Owner("https://a.example/b", "c"),
        Owner("https://a.example/b", "C"),
        Owner("https://a.example%2Fb", "C"),
    ]
    assert len({owner.partition for owner in owners}) == len(owners)


@pytest.mark.parametrize("owner", [Owner(TENANT, ALICE), Owner(ISSUER, "people|7 é")])
def test_an_owner_is_read_as_it_is_written(owner: Owner) -> None:
    assert Owner.parse(str(owner)) == owner


@pytest.mark.parametrize("caller", [user(), app(), user(ISSUER, "people|7")])
def test_without_the_header_everybody_works_on_their_own(caller: Principal) -> None:
    assert acting_owner(caller, None) == Owner(caller.tenant_id, caller.object_id)


@pytest.mark.parametrize("caller", [user(), app()])
@pytest.mark.parametrize("header", [f"{TENANT}/{ALICE}", f" {TENANT}/{ALICE.upper()}\t"])
def test_everybody_may_name_themselves(caller: Principal, header: str) -> None:
    assert acting_owner(caller, header) == Owner(TENANT, ALICE)


def test_an_app_acts_for_an_owner_of_its_tenant() -> None:
    assert acting_owner(app(), f"{TENANT}/{BOB}") == Owner(TENANT, BOB)
    caller = app(ISSUER, "web@clients")
    assert acting_owner(caller, "https%3A%2F%2Fpeople.example%2F/people%7C7") == Owner(ISSUER, "people|7")


@pytest.mark.parametrize(
    ("caller", "header"),
    [
        (user(), f"{TENANT}/{BOB}"),
        (user(), f"{BOB}/{ALICE}"),
        (app(), f"{BOB}/{ALICE}"),
        (app(), "https%3A%2F%2Fpeople.example%2F/people%7C7"),
    ],
)
def test_nobody_acts_for_others_where_they_may_not(caller: Principal, header: str) -> None:
    with pytest.raises(PermissionDeniedError) as denied:
        acting_owner(caller, header)
    assert denied.value.code == "owner-not-allowed"


@pytest.mark.parametrize(
    "header",
    [
        "",
        ALICE,
        "/",
        f"{TENANT}/",
        f"/{ALICE}",
        f"{TENANT}/{ALICE}/x",
        f"{TENANT}/alice",
        f"{TENANT}/{ALICE}\n",
        f"{TENANT}/{ALICE}, {TENANT}/{BOB}",
        f"{TENANT}/..",
        f"{TENANT}/%2e%2e",
        f"{TENANT}/%FF",
        f"{TENANT}/%G0",
        "é/é",
        "a" * 1000 + "/" + "b" * 1000,
    ],
)
@pytest.mark.parametrize("caller", [user(), app()])
def test_what_is_no_owner_is_refused(caller: Principal, header: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        acting_owner(caller, header)
    assert refused.value.code == "invalid-owner"
