from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import TargetNotAllowedError
from shared.notifications.channels.target_policy import (
    MAX_TARGET_CHARACTERS,
    TargetPolicy,
    is_public_address,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address

POLICY = TargetPolicy(frozenset({"127.0.0.1", "localhost", "inbox.internal:8025", "::1"}))
STRICT = TargetPolicy()


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "93.184.215.14",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - judged, not bound to
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.9",
        "192.88.99.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2001:1::1",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
        "2001::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::10.0.0.1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "localhost",
        "",
        "0177.0.0.1",
        "127.1",
        "2130706433",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_all_other_addresses_are_not_whatever_they_are_wrapped_in(address: str) -> None:
    assert not is_public_address(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_it_is_wrapped(address: IPv4Address) -> None:
    wrapped = (f"::ffff:{address}", f"64:ff9b::{address}")
    assert {is_public_address(text) for text in wrapped} == {is_public_address(str(address))}


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.example/x?y=z", "hooks.example", 443),
        ("https://hooks.example:8443", "hooks.example", 8443),
        ("HTTPS://Hooks.Example/", "hooks.example", 443),
        ("https://hooks.example./", "hooks.example", 443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443),
        ("https://v1.127.example/", "v1.127.example", 443),
    ],
)
def test_public_https_targets_are_taken(url: str, host: str, port: int) -> None:
    target = STRICT.check_url(url)
    assert (target.url, target.host, target.port, target.allowed_by_name) == (url, host, port, False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "//hooks.example/",
        "/relative",
        "https:hooks.example",
        "https://",
        "https:///path",
        "https://.../",
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "gopher://hooks.example/",
        # user information, fragments, bad ports and bytes that parsers disagree on
        "https://user@hooks.example/",
        "https://user:password@hooks.example/",
        "https://@hooks.example/",
        "https://:@hooks.example/",
        "https://127.0.0.1#@hooks.example/",
        "https://hooks.example/#fragment",
        "https://hooks.example:port/",
        "https://hooks.example:-1/",
        "https://hooks.example:65536/",
        "https://hooks.example\\@127.0.0.1/",
        "https://hooks.example\t/",
        "https://hooks.example/\r\nHost: x",
        "https://hooks example/",
        " https://hooks.example/",
        "https://hooks.example/\x00",
        "https://hooks.example/\x7f",
        "https://[::1",
        "https://[hooks.example]/",
        "https://[127.0.0.1]/",
        "https://hooks\uff0fexample/",
        "https://hooks.example/" + "x" * MAX_TARGET_CHARACTERS,
        # addresses that are not public, in every spelling
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://127.0.0.1../",
        "https://127.0.0.1:443/",
        "https://10.1.2.3/",
        "https://192.168.0.1/",
        "https://172.20.0.1/",
        "https://169.254.169.254/metadata/instance",
        "https://100.100.100.200/",
        "https://0.0.0.0/",
        "https://0/",
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://0X7F000001/",
        "https://0xA9FEA9FE/",
        "https://127.0.0.0x1/",
        "https://2852039166/",
        "https://8.8.8/",
        "https://999.999.999.999/",
        "https://\uff11\uff12\uff17.0.0.\uff11/",
        "https://127.0.0.①/",
        "https://[::1]/",
        "https://[::]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00:ec2::254]/",
        "https://[64:ff9b::169.254.169.254]/",
        "https://[2002:7f00:1::]/",
        "https://[ff02::1]/",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(TargetNotAllowedError):
        STRICT.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9999/hooks/a",
        "https://127.0.0.1/",
        "http://127.0.0.1./",
        "http://LOCALHOST:8025/",
        "http://inbox.internal:8025/",
        "http://[::1]:8025/",
    ],
)
def test_a_listed_host_may_be_private_and_plain(url: str) -> None:
    assert POLICY.check_url(url).allowed_by_name


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2/",
        "http://127.0.0.1.evil.example/",
        "http://evil.example/127.0.0.1",
        "http://127.0.0.1@evil.example/",
        "http://user@127.0.0.1/",
        "http://localhost.evil.example/",
        "http://inbox.internal/",
        "http://inbox.internal:8026/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "ftp://127.0.0.1/",
        "http://127.0.0.1/#fragment",
    ],
)
def test_what_only_looks_like_a_listed_host_is_refused(url: str) -> None:
    with pytest.raises(TargetNotAllowedError):
        POLICY.check_url(url)


def test_a_listed_name_does_not_make_others_trusted() -> None:
    assert not POLICY.check_url("https://hooks.example/").allowed_by_name


@given(st.text())
def test_no_text_at_all_crashes_the_policy(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/"):
        with suppress(TargetNotAllowedError):
            target = STRICT.check_url(url)
            assert target.host
            assert not target.allowed_by_name


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_an_address_as_one_number_is_refused(address: IPv4Address, spelling: str) -> None:
    with pytest.raises(TargetNotAllowedError):
        STRICT.check_url(f"https://{spelling.format(int(address))}/")
