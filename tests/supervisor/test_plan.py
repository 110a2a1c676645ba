"""The plan: which parts run, from what is wanted."""

from tidemill.model.collector import POLL, Collector
from tidemill.supervisor import plan

SETTINGS = plan.Settings(home="/h", port=9000, seed=7, rate=50, sim_port_base=20400)
SIM = {
    "venues": {
        "sim-kraken": {
            "protocol": "kraken",
            "url": "ws://127.0.0.1:20400/v2",
            "rest_url": "http://127.0.0.1:20400",
        }
    }
}


def words(parts: dict[str, list[str]], name: str) -> list[str]:
    return parts[name][3:]


def test_a_real_venue_needs_no_simulator() -> None:
    parts = plan.parts(SETTINGS, [Collector("kraken", "kraken", ("BTC-USD", "ETH-USD"))], None)
    assert set(parts) == {"collector-kraken", "recorder", "relay", "bridge", "service", "worker"}
    assert words(parts, "collector-kraken") == [
        "collector", "kraken", "--home", "/h", "--supervised", "--name", "kraken",
        "--instruments", "BTC-USD,ETH-USD",
    ]  # fmt: skip
    assert words(parts, "service")[-2:] == ["--port", "9000"]


def test_a_simulated_venue_waits_until_the_simulator_said_where_it_is() -> None:
    wanted = [Collector("sim-kraken", "kraken")]
    before = plan.parts(SETTINGS, wanted, None)
    assert "sim" in before
    assert "collector-sim-kraken" not in before
    after = plan.parts(SETTINGS, wanted, SIM)
    assert "ws://127.0.0.1:20400/v2" in after["collector-sim-kraken"]
    assert before["sim"] == after["sim"]
    assert words(after, "sim")[words(after, "sim").index("--port-base") + 1] == "20400"


def test_a_seller_is_played_as_the_provider_it_is() -> None:
    wanted = [
        Collector("sim-alpaca", "alpaca", ("AAPL",)), Collector("sim-alpaca-sip", "alpaca-sip", ("AAPL",)),
        Collector("sim-kraken", "kraken"),
    ]  # fmt: skip
    before = plan.parts(SETTINGS, wanted, SIM)
    assert "collector-sim-alpaca" not in before
    sim = words(before, "sim")
    assert sim[sim.index("--venues") + 1] == "kraken"
    assert sim[sim.index("--providers") + 1] == "alpaca"
    said = SIM | {"providers": {"sim-alpaca": {"rest": "http://127.0.0.1:9", "stream": "ws://127.0.0.1:9"}}}
    after = plan.parts(SETTINGS, wanted, said)
    for name in ("collector-sim-alpaca", "collector-sim-alpaca-sip"):
        assert "ws://127.0.0.1:9" in after[name]
    alone = words(plan.parts(SETTINGS, [Collector("sim-polygon", "polygon")], None), "sim")
    assert "--venues" not in alone


def test_invented_records_are_kept_two_days_or_two_gigabytes() -> None:
    venues = [Collector("sim-kraken", "kraken"), Collector("kraken", "kraken")]
    parts = plan.parts(SETTINGS, venues, SIM)
    bounds = words(parts, "collector-sim-kraken")[-4:]
    assert bounds == ["--journal-keep-hours", "48", "--journal-max-bytes", str((2 << 30) // 3)]
    assert not any(word.startswith("--journal") for word in words(parts, "collector-kraken"))


def test_a_venue_with_an_address_of_its_own_is_not_the_simulators() -> None:
    parts = plan.parts(SETTINGS, [Collector("sim-x", "kraken", ("BTC-USD",), "ws://h/v2", "http://h")], None)
    assert "sim" not in parts
    assert "ws://h/v2" in parts["collector-sim-x"]


def test_the_simulator_goes_on_when_one_of_its_venues_is_stopped() -> None:
    both = [Collector("sim-kraken", "kraken"), Collector("sim-binance", "binance")]
    before = plan.parts(SETTINGS, both, SIM)
    after = plan.parts(SETTINGS, both[:1], SIM, {"kraken", "binance"})
    assert before["sim"] == after["sim"]
    assert "collector-sim-binance" not in after


def test_two_venues_may_speak_one_protocol() -> None:
    parts = plan.parts(SETTINGS, [Collector("kraken", "kraken"), Collector("kraken-2", "kraken")], None)
    assert {"collector-kraken", "collector-kraken-2"} <= set(parts)


def test_no_venue_at_all_is_a_platform_too() -> None:
    assert set(plan.parts(SETTINGS, [], None)) == {"recorder", "relay", "bridge", "service", "worker"}


def test_every_part_has_a_place_in_the_order() -> None:
    wanted = [Collector("sim-kraken", "kraken"), Collector("kraken", "kraken")]
    names = plan.parts(SETTINGS, wanted, SIM)
    assert sorted(names, key=plan.order)[0] == "sim"
    assert sorted(names, key=plan.order)[-1] == "worker"
    assert {plan.order(name) for name in names} == set(range(len(plan.START_ORDER)))


def test_the_worker_makes_the_history_of_this_seed() -> None:
    assert words(plan.parts(SETTINGS, [], None), "worker") == [
        "worker", "--home", "/h", "--supervised", "--seed", "7",
    ]  # fmt: skip


def test_a_simulated_provider_is_played_beside_the_venues() -> None:
    wanted = [Collector("sim-iqfeed", "iqfeed", ("AAPL", "FAKEPACA"))]
    before = plan.parts(SETTINGS, wanted, None)
    assert "--venues" not in before["sim"]
    assert words(before, "sim")[words(before, "sim").index("--providers") + 1] == "iqfeed"
    assert "collector-sim-iqfeed" not in before
    sim = {"venues": {}, "providers": {"sim-iqfeed": {"level1": "127.0.0.1:20414"}}}
    after = plan.parts(SETTINGS, wanted, sim)["collector-sim-iqfeed"]
    assert after[after.index("--url") + 1] == "tcp://127.0.0.1:20414"
    assert after[after.index("--instruments") + 1] == "AAPL,FAKEPACA"
    assert "--rest-url" not in after
    both = plan.parts(SETTINGS, [*wanted, Collector("sim-kraken", "kraken")], None)["sim"]
    assert (both[both.index("--venues") + 1], both[both.index("--providers") + 1]) == ("kraken", "iqfeed")


def test_a_polled_provider_is_the_collector_of_its_venue() -> None:
    real = Collector("polygon", POLL, ("AAPL", "X:BTCUSD"))
    parts = plan.parts(SETTINGS, [real], None)
    assert "sim" not in parts
    assert words(parts, "collector-polygon") == [
        "poll", "polygon", "AAPL,X:BTCUSD", "--home", "/h", "--supervised"
    ]  # fmt: skip


def test_a_simulated_polled_provider_waits_for_the_simulator() -> None:
    wanted = [Collector("sim-polygon", POLL, ("AAPL",)), Collector("sim-kraken", "kraken")]
    before = plan.parts(SETTINGS, wanted, SIM)
    sim = words(before, "sim")
    assert sim[sim.index("--providers") + 1] == "polygon"
    assert sim[sim.index("--venues") + 1] == "kraken"
    assert "collector-sim-polygon" not in before
    said = {**SIM, "providers": {"sim-polygon": {"rest": "http://127.0.0.1:20410"}}}
    after = plan.parts(SETTINGS, wanted[:1], said, {"kraken"}, {"polygon"})
    assert words(after, "collector-sim-polygon")[:3] == ["poll", "sim-polygon", "AAPL"]
    assert "--journal-keep-hours" in after["collector-sim-polygon"]
    assert after["sim"] == before["sim"]
    alone = words(plan.parts(SETTINGS, wanted[:1], None), "sim")
    assert "--venues" not in alone
