"""The obd driver against a scripted adapter: what cars and adapters answer, and what may be stored of it."""

from __future__ import annotations

import random
import time
from typing import Any, Dict, Iterator, List, Optional

import pytest
from motorpool_collector.driver import CollectorError
from motorpool_collector.drivers.obd import ObdDriver
from motorpool_collector.obd.answers import parse
from scripted_adapter import CAR, ScriptedAdapter


def connected(adapter: ScriptedAdapter, **options: Any) -> ObdDriver:
    driver = ObdDriver(port=adapter.port, timeout=0.5, **options)
    driver.open()
    return driver


def values_of(driver: ObdDriver, reads: int = 2) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for _ in range(reads):
        for frame in driver.read():
            found.update(frame.values)
    return found


def read_once(**answers: Any) -> Dict[str, Any]:
    with ScriptedAdapter(**answers) as adapter:
        driver = connected(adapter)
        try:
            return values_of(driver)
        finally:
            driver.close()


def command(name: str, arguments: Optional[Dict[str, Any]] = None, **answers: Any) -> Dict[str, Any]:
    with ScriptedAdapter(**answers) as adapter:
        driver = connected(adapter)
        try:
            return driver.command(name, arguments or {})
        finally:
            driver.close()


def test_a_car_in_order_is_read() -> None:
    values = read_once()
    assert values == {
        "engine.rpm": 1726, "vehicle.speed": 50, "engine.coolant_temp": 83, "engine.load": 20,
        "engine.throttle": pytest.approx(14.902, abs=1e-3), "fuel.level": pytest.approx(50.196, abs=1e-3),
        "engine.mil": False, "engine.dtc_count": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("service", "answer"),
    [
        ("0A", "7E8 03 7F 0A 11"), ("0A", "7F 0A 11"), ("07", "7E8 03 7F 07 12"), ("0A", "7E8037F0A31"),
        ("0A", "7E8 03 7F 0A 11\r7E9 03 7F 0A 11"),
    ],
)  # fmt: skip
def test_o1_a_negative_answer_is_no_trouble_code(service: str, answer: str) -> None:
    result = command("dtc_read", **{service: answer, "03": "7E8 04 43 01 01 43"})
    assert result["codes"] == [{"code": "P0143", "status": "confirmed"}]
    status = {"0A": "permanent", "07": "pending"}[service]
    assert "not supported" in result["not_read"][status] or "out of range" in result["not_read"][status]


@pytest.mark.parametrize("answer", ["7F 01 12", "7E8 03 7F 01 12", "7E8 03 7F 01 21", "7F 01 21", "7E8037F0131"])
@pytest.mark.parametrize(("pid", "signal"), [("010D", "vehicle.speed"), ("0105", "engine.coolant_temp")])
def test_o2_a_negative_answer_is_no_value(pid: str, signal: str, answer: str) -> None:
    values = read_once(**{pid: answer})
    assert signal not in values
    assert values["engine.rpm"] == 1726
    with pytest.raises(CollectorError, match=r"not supported|busy|out of range"):
        command("pid_query", {"pid": pid}, **{pid: answer})


def test_o3_a_late_answer_to_another_question_is_not_taken() -> None:
    late = "7E8 04 41 0C 1A F8"
    assert read_once(**{"010D": [late, CAR["010D"]]})["vehicle.speed"] == 50  # asked again
    assert "vehicle.speed" not in read_once(**{"010D": late})
    assert read_once(**{"010D": f"{late}\r7E8 03 41 0D 32"})["vehicle.speed"] == 50


@pytest.mark.parametrize("answer", ["NO DATA", "7E8 03 7F 02 12", "7E8 05 42 02 00 00 00"])
def test_o5_codes_are_read_without_a_freeze_frame(answer: str) -> None:
    result = command("dtc_read", **{"03": "7E8 04 43 01 03 00", "020200": answer})
    assert result["codes"] == [{"code": "P0300", "status": "confirmed"}]
    assert "freeze_frame" not in result


def test_o5_a_car_without_a_parameter_stays_connected() -> None:
    with ScriptedAdapter(**dict.fromkeys(("0104", "0105", "010D", "0111", "012F"), "NO DATA")) as adapter:
        driver = connected(adapter, rates={"RPM": 50, "ENGINE_LOAD": 50, "COOLANT_TEMP": 50, "SPEED": 50})
        assert [values_of(driver, 1).get("engine.rpm") for _ in range(5)].count(1726) >= 1
        driver.close()


def test_o6_a_freeze_frame_carries_its_number() -> None:
    answers = {
        "03": "7E8 04 43 01 03 00", "020200": "7E8 05 42 02 00 03 00", "020C00": "7E8 05 42 0C 00 0C 80",
        "020D00": "7E8 04 42 0D 00 28", "020500": "7E8 04 42 05 00 FF",
    }  # fmt: skip
    frame = command("dtc_read", **answers)["freeze_frame"]
    assert frame == {"code": "P0300", "engine.rpm": 800, "vehicle.speed": 40}


@pytest.mark.parametrize("answer", ["7E8 03 7F 04 22", "7F 04 22", "7E8 03 7F 04 33", "NO DATA"])
def test_o7_a_refusal_to_clear_is_a_failure(answer: str) -> None:
    with pytest.raises(CollectorError, match=r"not cleared: .*(conditions not correct|security|NO DATA).*P0143"):
        command("dtc_clear", **{"04": answer, "03": "7E8 04 43 01 01 43"})
    assert command("dtc_clear")["cleared"] is True


@pytest.mark.parametrize(
    ("pid", "answer", "signal"),
    [
        ("0105", "7E8 03 41 05 FF", "engine.coolant_temp"), ("010C", "7E8 04 41 0C FF FF", "engine.rpm"),
        ("010D", "7E8 03 41 0D FF", "vehicle.speed"), ("0101", "7E8 06 41 01 FF FF FF FF", "engine.mil"),
    ],
)  # fmt: skip
def test_o8_all_bytes_ff_are_no_value(pid: str, answer: str, signal: str) -> None:
    assert signal not in read_once(**{pid: answer})


def test_o8_a_full_scale_that_occurs_is_kept_where_the_control_unit_is_awake() -> None:
    full = {"0111": "7E8 03 41 11 FF", "012F": "7E8 03 41 2F FF"}
    assert read_once(**full)["engine.throttle"] == 100
    asleep = {pid: f"7E8 03 41 {pid[2:]} FF" for pid in ("0104", "0105", "010D", "0111", "012F")}
    values = read_once(**asleep, **{"010C": "7E8 04 41 0C FF FF"})
    assert values.keys() <= {"engine.mil", "engine.dtc_count"}
    assert read_once(**{"0111": ["7E8 03 41 11 FF", "7E8 03 41 11 26"]})["engine.throttle"] < 15


@pytest.mark.parametrize(
    "answer",
    [
        "7E8 03 41 0D 32\r7E8 03 41 0D 32",
        "7E9 03 41 1C 06\r7E8 03 41 0D 32\r7EA 02 43 00",
        "123 45 67 89\r7E8 03 41 0D 32",
        "SEARCHING...\r7E8 03 41 0D 32",
        "7E8 03 7F 01 78\r7E8 03 41 0D 32",
    ],
)
def test_o9_duplicates_and_other_traffic_hide_no_value(answer: str) -> None:
    assert read_once(**{"010D": answer})["vehicle.speed"] == 50


def test_o9_response_pending_is_waited_for() -> None:
    begun = time.monotonic()
    assert read_once(**{"010D": ["7E8 03 7F 01 78", "7E8 03 41 0D 32"]})["vehicle.speed"] == 50
    result = command("dtc_read", **{"03": ["7E8 03 7F 03 78", "7E8 03 7F 03 78", "7E8 04 43 01 01 43"]})
    assert result["codes"] == [{"code": "P0143", "status": "confirmed"}]
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "answer",
    [
        "7E8 10 08 43 03 01 43 01 96\r7E9 02 43 00\r7E8 21 02 34",
        "7E8 10 08 43 03 01 43 01 96\r7E8 10 08 43 03 01 43 01 96\r7E8 21 02 34\r7E8 21 02 34",
        ["7E8 10 08 43 03 01 43 01 96", "7E8 10 08 43 03 01 43 01 96\r7E8 21 02 34"],
    ],
)
def test_o9_codes_of_several_frames_are_whole(answer: Any) -> None:
    result = command("dtc_read", **{"03": answer})
    assert [entry["code"] for entry in result["codes"]] == ["P0143", "P0196", "P0234"]
    assert "not_read" not in result


def test_o9_codes_that_are_never_whole_are_said_to_be_unknown() -> None:
    result = command("dtc_read", **{"03": "7E8 10 08 43 03 01 43 01 96"})
    assert result["codes"] == []
    assert "not whole" in result["not_read"]["confirmed"]


def test_o11_an_interrupted_discovery_is_asked_again() -> None:
    with ScriptedAdapter(**{"0100": ["STOPPED", "BUFFER FULL", CAR["0100"]]}) as adapter:
        driver = connected(adapter)
        assert "engine.rpm" in driver.describe()
        driver.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("STOPPED", "STOPPED"), ("7E8 06 41 00 00 00 00 00", "no parameter"), ("UNABLE TO CONNECT", "UNABLE TO CONNECT"),
        ("NO DATA", "NO DATA"), ("7E8 03 7F 01 11", "not supported"), ("BUS INIT: ...ERROR", "BUS INIT"),
    ],
)  # fmt: skip
def test_o11_nothing_supported_is_an_error(answer: str, words: str) -> None:
    with ScriptedAdapter(**{"0100": answer}) as adapter, pytest.raises(CollectorError, match=words):
        connected(adapter)


def test_o12_an_adapter_that_cannot_measure_its_voltage_is_no_obstacle() -> None:
    assert read_once(ATRV="?")["engine.rpm"] == 1726
    assert read_once(ATRV="", ATDPN="?")["engine.rpm"] == 1726


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"ATZ": lambda: None}, "nothing answers"), ({"ATE0": "?"}, "echo"), ({"ATH1": "?"}, "headers"),
        ({"ATSP0": "?"}, "protocol"),
    ],
)  # fmt: skip
def test_o12_each_failure_has_its_own_message(answers: Dict[str, Any], words: str) -> None:
    with ScriptedAdapter(**answers) as adapter, pytest.raises(CollectorError, match=words):
        connected(adapter)


def test_o12_a_port_that_is_closed_is_named() -> None:
    with pytest.raises(CollectorError, match="cannot be opened"):
        ObdDriver(port="socket://127.0.0.1:1").open()


def long_answer(payload: bytes) -> str:
    """ISO 15765-2 frames of one control unit."""
    frames = [f"7E8 1{len(payload) >> 8:X} {len(payload) & 255:02X} {payload[:6].hex(' ')}"]
    rest = payload[6:]
    for number, start in enumerate(range(0, len(rest), 7), 1):
        frames.append(f"7E8 2{number % 16:X} {rest[start : start + 7].hex(' ')}")
    return "\r".join(frames)


def test_o15_all_bytes_of_a_long_answer_are_there() -> None:
    payload = bytes(range(61))
    result = command(
        "pid_query", {"pid": "2101", "formula": "AA*256+AB"}, **{"2101": long_answer(b"\x61\x01" + payload)}
    )
    assert result["answers"] == [{"ecu": "7E8", "bytes": payload.hex(" ").upper(), "value": 26 * 256 + 27}]


def test_h14_one_control_unit_is_asked_by_its_header() -> None:
    with ScriptedAdapter(**{"22F190": "728 05 62 F1 90 12 34"}) as adapter:
        driver = connected(adapter)
        result = driver.command("pid_query", {"pid": "22F190", "header": "720", "formula": "SIGNED(A)+B^2"})
        assert result["answers"] == [{"ecu": "728", "bytes": "12 34", "value": 0x12 + 0x34**2}]
        at = adapter.asked.index("22F190")
        assert {"ATSH720", "ATCRA728"} <= set(adapter.asked[:at])
        assert adapter.asked[at + 1 :].count("ATSH7DF") == 1  # all are asked again after it
        assert values_of(driver)["engine.rpm"] == 1726
        driver.close()
    with pytest.raises(CollectorError, match="ATSH720"):
        command("pid_query", {"pid": "22F190", "header": "720"}, ATSH720="?")


def test_h14_an_adapter_without_filters_is_set_back_all_the_same() -> None:
    with ScriptedAdapter(**{"22F190": "728 05 62 F1 90 12 34"}, ATCRA728="?") as adapter:
        driver = connected(adapter)
        assert driver.command("pid_query", {"pid": "22F190", "header": "720"})["answers"][0]["ecu"] == "728"
        assert adapter.asked.count("ATSH7DF") == 1
        driver.close()
    with ScriptedAdapter(ATFCSH720="?", ATSH720="?") as adapter:
        driver = connected(adapter)
        with pytest.raises(CollectorError, match="ATSH720"):
            driver.command("pid_query", {"pid": "22F190", "header": "720"})
        assert adapter.asked.count("ATSH7DF") == 1
        driver.close()


def test_o1_one_control_unit_answers_and_another_refuses() -> None:
    result = command("dtc_read", **{"03": "7E8 02 43 00\r7E9 03 7F 03 22"})
    assert result["codes"] == []
    assert "conditions not correct" in result["not_read"]["confirmed"]


def test_an_adapter_that_falls_silent_is_given_up() -> None:
    with ScriptedAdapter() as adapter:
        driver = connected(adapter)
        adapter.answers.update({question: lambda: None for question in list(CAR)})
        with pytest.raises(CollectorError, match="does not answer any more"):
            for _ in range(5):
                driver._due = dict.fromkeys(driver._due, 0.0)
                driver.read()
        driver.close()


NOISE = ["", "NO DATA", "STOPPED", "?", "<RX ERROR", "7E8", "7E8 0", "\xff\x00\x7f", "41", "BUFFER FULL", "ACT ALERT"]


def dialogues(seed: int, right: str, question: str) -> str:
    """An answer built of the right one and of all that comes between: the right one, cut, doubled, late, foreign."""
    rng = random.Random(seed)
    service = question[:2]
    cut = rng.randrange(len(right) + 1)
    blank = right[:-2] + "FF" if len(right.split()) == 5 else right
    parts = [
        right, right, right, right[:cut], f"7E8 03 7F {service} {rng.choice(['11', '12', '21', '22', '31', '78'])}",
        str(CAR[rng.choice(["010C", "0105", "0104", "0100", "0101"])]), f"7E9 03 41 {question[2:] or '0D'} 77",
        f"123 {rng.randbytes(8).hex(' ')}", rng.choice(NOISE), blank, right.replace(" ", ""),
    ]  # fmt: skip
    return "\r".join(rng.choices(parts, k=rng.randint(1, 4)))


@pytest.mark.parametrize("part", range(4))
def test_ten_thousand_dialogues_store_nothing_that_no_unit_reported(part: int) -> None:
    """2,500 answers each, through the parser and driver alone; whatever a right answer carries is the only value."""
    questions: List[str] = ["010C", "010D", "0105", "03"]
    allowed = {"010C": {"1AF8"}, "010D": {"32", "FF"}, "0105": {"7B", "FF"}, "03": {"010143"}}
    right = {**{q: str(CAR[q]) for q in questions}, "03": "7E8 04 43 01 01 43"}
    for seed in range(part * 2_500, (part + 1) * 2_500):
        question = questions[seed % 4]
        text = dialogues(seed, right[question], question)
        answer = parse(text.split("\r"), bytes.fromhex(question), "6")
        found = answer.data.get("7E8")
        assert found is None or found.hex().upper() in allowed[question], (seed, text)


def test_a_driver_survives_hundreds_of_random_dialogues() -> None:
    """The whole driver over TCP: no value that the car did not have, no code, no end, no hang."""
    rng = random.Random(1)
    seeds: Iterator[int] = iter(range(100_000))

    def random_reply(question: str, right: str) -> Any:
        return lambda: dialogues(next(seeds), right, question) if rng.random() < 0.7 else right

    expected = read_once()
    with ScriptedAdapter() as adapter:
        driver = connected(adapter, rates="RPM=100;SPEED=100;COOLANT_TEMP=100;ENGINE_LOAD=100;THROTTLE_POS=100")
        live = ("010C", "010D", "0105", "0104", "0111")
        adapter.answers.update({q: random_reply(q, str(CAR[q])) for q in live})
        adapter.answers["03"] = random_reply("03", "7E8 04 43 01 01 43")
        ends = time.monotonic() + 8
        stored = 0
        while time.monotonic() < ends:
            for frame in driver.read():
                for signal, value in frame.values.items():
                    stored += 1
                    assert value == expected[signal] or (signal in ("engine.load", "engine.throttle") and value == 100)
            driver._failed = {}
        assert stored > 100
        result = driver.command("dtc_read", {})
        assert {entry["code"] for entry in result["codes"]} <= {"P0143"}
        driver.close()
