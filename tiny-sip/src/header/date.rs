//! Date (RFC 3261 §20.17): the RFC 1123 form, always in GMT.

use super::{Flaw, chars};
use std::fmt;

/// A date and time in GMT, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60: leap seconds exist.
    pub second: u8,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl Date {
    /// Reads `Sat, 13 Nov 2010 23:29:00 GMT`. The weekday must be one, but need not be the right one.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let bytes = chars::trim(text).as_bytes();
        let shape = b"aaa, dd aaa dddd dd:dd:dd GMT";
        let fits = bytes.len() == shape.len()
            && bytes.iter().zip(shape).all(|(b, s)| match s {
                b'a' => b.is_ascii_alphabetic(),
                b'd' => b.is_ascii_digit(),
                other => b == other,
            });
        if !fits {
            return Err(Flaw::Date);
        }
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().fold(0u16, |n, b| n * 10 + u16::from(b - b'0'))
        };
        let named = |names: &[&str], at: usize| {
            names.iter().position(|n| bytes[at..at + 3].eq_ignore_ascii_case(n.as_bytes()))
        };
        named(&DAYS, 0).ok_or(Flaw::Date)?;
        let date = Self {
            year: number(12, 4),
            month: named(&MONTHS, 8).ok_or(Flaw::Date)? as u8 + 1,
            day: number(5, 2) as u8,
            hour: number(17, 2) as u8,
            minute: number(20, 2) as u8,
            second: number(23, 2) as u8,
        };
        let divides = |n| date.year.is_multiple_of(n);
        let leap = divides(4) && (!divides(100) || divides(400));
        let days = match date.month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let valid = (1..=days).contains(&date.day)
            && date.hour < 24
            && date.minute < 60
            && date.second <= 60;
        if valid { Ok(date) } else { Err(Flaw::Date) }
    }

    /// From seconds since 1970. Before that day and after the year 9999 it stays at the nearest.
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, 253_402_300_799);
        let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as u16,
            month: month as u8,
            day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Seconds since 1970 (negative before).
    pub fn unix(&self) -> i64 {
        self.days() * 86_400
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }

    // Days since 1970-01-01 in the Gregorian calendar, years counted from March.
    fn days(&self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weekday = DAYS[self.days().rem_euclid(7) as usize];
        let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("Jan");
        write!(
            f,
            "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
            self.day, self.year, self.hour, self.minute, self.second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_counted_and_printed() {
        let text = "Sat, 13 Nov 2010 23:29:00 GMT";
        let date = Date::parse(text).unwrap();
        assert_eq!(date.unix(), 1_289_690_940);
        assert_eq!(date.to_string(), text);
        for seconds in [0, 951_782_400, 1_289_690_940, 1_471_375_418, 253_402_300_799] {
            assert_eq!(Date::from_unix(seconds).unix(), seconds);
        }
        assert_eq!(Date::from_unix(date.unix()), date);
        assert_eq!(Date::parse("Thu, 01 Jan 1970 00:00:00 GMT").unwrap().unix(), 0);
        assert_eq!(Date::parse("Tue, 29 Feb 2000 00:00:00 GMT").unwrap().unix(), 951_782_400);
    }

    #[test]
    fn other_zones_and_impossible_days_are_refused() {
        for bad in [
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Fri, 31 Feb 2010 16:00:00 GMT",
            "Fri, 01 Foo 2010 16:00:00 GMT",
            "Xyz, 01 Jan 2010 16:00:00 GMT",
            "Fri, 01 Jan 2010 24:00:00 GMT",
            "Fri, 1 Jan 2010 16:00:00 GMT",
            "",
        ] {
            assert_eq!(Date::parse(bad), Err(Flaw::Date), "{bad}");
        }
    }
}
