"""A group has a server of its own; where that one is away, only its groups move, and they come back."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_client.servers import Servers

URLS = ("http://a", "http://b", "http://c")


def test_groups_stick_and_are_spread() -> None:
    servers = Servers(URLS)
    homes = [servers.pick(str(group), 0.0) for group in range(300)]
    assert homes == [servers.pick(str(group), 99.0) for group in range(300)]
    assert min(Counter(homes).values()) > 70


def test_only_the_groups_of_one_that_is_away_move_and_they_come_back() -> None:
    servers = Servers(URLS)
    before = {group: servers.pick(str(group), 0.0) for group in range(100)}
    servers.missed("http://b", 0.0)
    during = {group: servers.pick(str(group), 0.5) for group in range(100)}
    assert "http://b" not in during.values()
    assert all(during[group] == home for group, home in before.items() if home != "http://b")
    assert {group: servers.pick(str(group), 2.0) for group in range(100)} == before


def test_one_that_stays_away_is_left_alone_longer_every_time_and_an_answer_ends_that() -> None:
    servers = Servers(URLS)
    home = next(str(group) for group in range(100) if servers.pick(str(group), 0.0) == "http://b")
    now, lengths = 0.0, []
    for _ in range(8):
        servers.missed("http://b", now)
        servers.missed("http://b", now)  # many calls find out at once
        began = now
        while servers.pick(home, now) != "http://b":
            now += 0.5
        lengths.append(now - began)
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (1.0, 30.0)
    servers.missed("http://b", now)
    servers.reached("http://b")
    assert servers.pick(home, now) == "http://b"


@given(st.sets(st.sampled_from(URLS)), st.sets(st.sampled_from(URLS)), st.text(max_size=5))
def test_there_is_always_somebody_to_ask(missed: set[str], tried: set[str], group: str) -> None:
    servers = Servers(URLS)
    for url in missed:
        servers.missed(url, 0.0)
    picked = servers.pick(group, 0.1, tried)
    assert picked in URLS
    if tried < set(URLS):
        assert picked not in tried
