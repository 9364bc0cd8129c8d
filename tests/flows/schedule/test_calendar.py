"""The dates of a schedule: one a day where clocks change, the next, the latest, and lines that name none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.schedule.calendar import Calendar
from pipeline.runtime.errors import InputError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "start", "end"),
    [
        ("30 2 * * *", "2026-03-27", "2026-04-01"),  # 02:30 does not exist on the 29th
        ("30 2 * * *", "2026-10-23", "2026-10-28"),  # 02:30 comes twice on the 25th
        ("0 3 * * *", "2026-03-27", "2026-04-01"),
    ],
)
def test_a_day_on_which_clocks_change_has_one_night(cron: str, start: str, end: str) -> None:
    dates = Calendar(cron, "Europe/Berlin").dates(at(start), at(end))
    assert len(dates) == len({date.date() for date in dates}) == 5
    assert dates == sorted(dates)


@pytest.mark.parametrize(
    ("cron", "zone", "moment", "latest", "after"),
    [
        ("0 3 * * *", "UTC", "2026-05-02T02:59:59", "2026-05-01T03:00", "2026-05-02T03:00"),
        ("0 3 * * *", "UTC", "2026-05-02T03:00:00", "2026-05-02T03:00", "2026-05-03T03:00"),
        ("0 3 * * *", "Asia/Tokyo", "2026-05-02T00:00:00", "2026-05-01T18:00", "2026-05-02T18:00"),
        ("* * * * *", "UTC", "2026-05-02T03:00:30", "2026-05-02T03:00", "2026-05-02T03:01"),
        ("* * * * 1", "UTC", "2026-05-06T12:00:00", "2026-05-04T23:59", "2026-05-11T00:00"),
        ("0 0 1 1 *", "UTC", "2026-05-06T12:00:00", "2026-01-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_the_dates_around_a_moment(cron: str, zone: str, moment: str, latest: str, after: str) -> None:
    calendar = Calendar(cron, zone)
    assert calendar.latest(at(moment)) == at(latest)
    assert calendar.after(at(moment)) == at(after)


def test_a_leap_day_is_found_years_ahead() -> None:
    calendar = Calendar("0 0 29 2 *", "UTC")
    assert calendar.after(at("2026-05-01")) == at("2028-02-29")
    assert calendar.latest(at("2026-05-01")) is None


@pytest.mark.parametrize(
    "cron", ["", "3", "61 * * * *", "every night", "0 3 * *", "0 0 30 2 *", "0 3 * * * 30", "@daily", "٠ ٣ * * *"]
)
def test_a_line_that_names_no_date_is_refused(cron: str) -> None:
    with pytest.raises(InputError, match=r"is no schedule|names no date"):
        Calendar(cron, "UTC").after(at("2026-05-01"))
