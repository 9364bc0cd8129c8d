"""The dates of a schedule, as Prefect's scheduler has them: both must name the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.runtime.errors import InputError, one_line

_MOST = 1000
_LOOK_BACK = [timedelta(days=days) for days in (0.125, 2, 32, 400)]


@dataclass(frozen=True)
class Calendar:
    """A cron line of five fields in a time zone.

    On the days on which clocks change a date has one night, as on any other.
    """

    cron: str
    timezone: str

    def __post_init__(self) -> None:
        # One line has one spelling, and never a line end, which would end it in a crontab.
        object.__setattr__(self, "cron", " ".join(self.cron.split()))

    def dates(self, start: datetime, end: datetime) -> list[datetime]:
        """The dates from start to end, both included, in UTC; at most the first thousand.

        Raises:
            InputError: the line is no cron line of five fields: a sixth would be seconds, and a crontab's command.
        """
        from prefect.server.schemas.schedules import CronSchedule
        from pydantic import ValidationError

        try:
            if not self.cron.isascii() or len(self.cron.split()) != 5:
                raise ValueError(self.cron)
            schedule = CronSchedule(cron=self.cron, timezone=self.timezone)
        except (ValidationError, ValueError) as error:
            raise InputError(
                f"'{one_line(self.cron)}' is no schedule; give minute, hour, day, month and day of the week, such as "
                "'0 3 * * *' for 03:00 each night"
            ) from error
        try:
            found = asyncio.run(schedule.get_dates(n=_MOST, start=start, end=end))
        except ValueError:
            return []  # valid, and yet no date of any year
        return [datetime.fromtimestamp(date.timestamp(), UTC) for date in found]

    def after(self, moment: datetime) -> datetime:
        """The first date after a moment.

        Raises:
            InputError: there is none in the eight years that follow, such as for a 30th of February.
        """
        for days in (2, 32, 400, 3000):
            start = moment + timedelta(seconds=1)
            if found := self.dates(start, moment + timedelta(days=days)):
                return found[0]
        raise InputError(f"'{self.cron}' names no date in the years to come")

    def latest(self, moment: datetime) -> datetime | None:
        """The last date up to a moment; None where the year before it has none."""
        for back in _LOOK_BACK:
            found = self.dates(moment - back, moment)
            while len(found) == _MOST:
                found = self.dates(found[-1], moment)
            if found:
                return found[-1]
        return None

    def meant(self, date: datetime) -> datetime:
        """A date that a person wrote, in the schedule's zone where it has none of its own."""
        return date if date.tzinfo else date.replace(tzinfo=ZoneInfo(self.timezone))

    def local(self, date: datetime) -> str:
        """A date as people of the time zone write it."""
        return date.astimezone(ZoneInfo(self.timezone)).strftime("%Y-%m-%d %H:%M %Z")


def stored(date: datetime) -> str:
    """A date as the log of nights has it, in UTC.

    Raises:
        InputError: it cannot be told in UTC.
    """
    try:
        return date.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError) as error:
        raise InputError(f"{date} is no date of a night ({one_line(error)})") from error
