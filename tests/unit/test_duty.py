import pytest

from syslogauth.duty import BURST_SECONDS, LONGEST_REST_SECONDS, SHARE, Duty


def test_what_came_before_the_first_piece_of_work_is_not_counted() -> None:
    assert 0.0 == Duty().rest_seconds(100.0, 50.0)


def test_who_takes_less_than_his_share_never_rests() -> None:
    duty = Duty()
    assert {0.0} == {duty.rest_seconds(float(second), 0.24 * second) for second in range(1000)}


def test_a_rare_heavy_piece_is_taken_from_what_was_saved() -> None:
    duty = Duty()
    duty.rest_seconds(0.0, 0.0)
    assert 0.0 == duty.rest_seconds(3.0, BURST_SECONDS)
    assert pytest.approx((1.5 - SHARE) / SHARE) == duty.rest_seconds(4.0, BURST_SECONDS + 1.5)


@pytest.mark.parametrize("cost_seconds", [0.3, 1.0, 5.0])
def test_in_the_long_run_it_is_a_quarter_of_a_core(cost_seconds: float) -> None:
    duty, now, cpu = Duty(), 0.0, 0.0
    duty.rest_seconds(now, cpu)
    for _ in range(100):
        now, cpu = now + cost_seconds, cpu + cost_seconds
        now += duty.rest_seconds(now, cpu)
    assert SHARE * now <= cpu <= SHARE * now + BURST_SECONDS
    now, cpu = now + cost_seconds, cpu + cost_seconds
    assert pytest.approx(3 * cost_seconds) == duty.rest_seconds(now, cpu)


def test_no_rest_is_longer_than_expiry_may_wait() -> None:
    duty = Duty()
    duty.rest_seconds(0.0, 0.0)
    assert LONGEST_REST_SECONDS == duty.rest_seconds(1000.0, 1000.0)
    assert 0.0 == duty.rest_seconds(1000.0 + LONGEST_REST_SECONDS, 1000.0)
