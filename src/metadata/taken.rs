//! When a photo was taken: as EXIF writes it, as phones write it into a file's name, as the catalog keeps it.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use time::{Date, Month, Time, UtcOffset};

/// Years of photos, from the first one on.
const YEARS: std::ops::RangeInclusive<i32> = 1826..=2199;
/// Years of eight digits in a row in a name, which may mean something else.
const COMPACT_YEARS: std::ops::RangeInclusive<i32> = 1990..=2099;
/// Hours that a clock may be from universal time.
const MAX_OFFSET: i8 = 14;
/// A text with more bytes is no date.
const MAX_TEXT: usize = 40;
/// What may stand between date and time in a name, such as " at ", in bytes.
const MAX_GAP: usize = 4;

/// When a photo was taken, by the clock at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub(crate) date: Date,
    /// `None` where only the day is known.
    pub(crate) time: Option<Time>,
    /// How far that clock was ahead of universal time.
    offset: Option<UtcOffset>,
}

impl Taken {
    /// From the texts of EXIF: "2024:05:12 10:15:30", "25" hundredths, "+02:00". `None` where there is no such time;
    /// fractions and zone are left out where they make no sense.
    pub(super) fn by_exif(text: &str, fraction: Option<&str>, offset: Option<&str>) -> Option<Self> {
        let (date, time) = moment(text)?;
        let with_fraction = |time: Time| nanoseconds(fraction?).and_then(|n| time.replace_nanosecond(n).ok());
        let time = time.map(|time| with_fraction(time).unwrap_or(time));
        Some(Self { date, time, offset: offset.and_then(zone) })
    }

    /// From a file's name: IMG_20240512_101530, IMG-20240512-WA0001, "2024-05-12 10.15.30" and whatever looks like them.
    pub(super) fn by_name(path: &Path) -> Option<Self> {
        let name = path.file_stem()?.to_string_lossy();
        let bytes = name.as_bytes();
        let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let starts = (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1)));
        starts.filter_map(|at| in_name(&name[at..])).map(|(date, time)| Self { date, time, offset: None }).next()
    }

    /// Year and month.
    pub(crate) fn month(self) -> (i32, u8) {
        (self.date.year(), self.date.month().into())
    }

    /// From what [`Taken`] shows itself as.
    pub(crate) fn from_iso(text: &str) -> Option<Self> {
        let (moment, rest) = text.split_at_checked(19).unwrap_or((text, ""));
        let end = rest.find(['+', '-', 'Z']).unwrap_or(rest.len());
        let (fraction, offset) = rest.split_at(end);
        Self::by_exif(moment, fraction.strip_prefix('.'), Some(offset))
    }
}

/// ISO 8601, with what is known: "2024-05-12", "2024-05-12T10:15:30.25+02:00".
impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.date.year(), self.date.month() as u8, self.date.day())?;
        let Some(time) = self.time else { return Ok(()) };
        write!(f, "T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        if time.nanosecond() > 0 {
            write!(f, ".{}", format!("{:09}", time.nanosecond()).trim_end_matches('0'))?;
        }
        let Some(offset) = self.offset else { return Ok(()) };
        let (hours, minutes, _) = offset.as_hms();
        let sign = if offset.is_negative() { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
    }
}

/// By the clock at the place: a day's photos stand together wherever they were taken. What has no time is the first of
/// its day.
impl Ord for Taken {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |taken: &Self| (taken.date, taken.time, taken.offset.map(UtcOffset::whole_seconds));
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Taken {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// From a day to a day, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    pub(crate) from: Date,
    pub(crate) to: Date,
}

impl Days {
    /// All days that photos can be of.
    pub(crate) const ALL: Self = Self { from: Date::MIN, to: Date::MAX };

    /// A year, or one of its months. `None` where there is no such.
    pub(crate) fn of(year: i32, month: Option<u8>) -> Option<Self> {
        let (first, last) = (month.unwrap_or(1), month.unwrap_or(12));
        let length = Month::try_from(last).ok()?.length(year);
        Some(Self { from: day(year, first, 1)?, to: day(year, last, length)? })
    }

    /// "2024", "2024-05" or "2024-05-12".
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !parts.iter().all(is_number) {
            return None;
        }
        match parts.as_slice() {
            [year] => Self::of(year.parse().ok()?, None),
            [year, month] => Self::of(year.parse().ok()?, Some(month.parse().ok()?)),
            [year, month, date] => {
                let date = day(year.parse().ok()?, month.parse().ok()?, date.parse().ok()?)?;
                Some(Self { from: date, to: date })
            }
            _ => None,
        }
    }

    pub(crate) fn contain(self, taken: Taken) -> bool {
        (self.from..=self.to).contains(&taken.date)
    }
}

/// A day that photos can be of.
fn day(year: i32, month: u8, day: u8) -> Option<Date> {
    let month = Month::try_from(month).ok()?;
    Date::from_calendar_date(year, month, day).ok().filter(|date| YEARS.contains(&date.year()))
}

/// Date and time as numbers in this order, whatever stands between them; a time that is left out is written as spaces.
fn moment(text: &str) -> Option<(Date, Option<Time>)> {
    let text = text.trim_matches(['\0', ' ']);
    let is_sane = |c: char| c.is_ascii_digit() || " :-/.T".contains(c);
    if text.len() > MAX_TEXT || !text.chars().all(is_sane) {
        return None;
    }
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    let year = numbers.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let mut number = || numbers.next().map(str::parse::<u8>);
    let date = day(year, number()?.ok()?, number()?.ok()?)?;
    let Some(hour) = number() else { return Some((date, None)) };
    let time = Time::from_hms(hour.ok()?, number()?.ok()?, number().unwrap_or(Ok(0)).ok()?).ok()?;
    Some((date, Some(time)))
}

/// Of digits behind a decimal point.
fn nanoseconds(fraction: &str) -> Option<u32> {
    let digits = fraction.trim_matches(['\0', ' ']);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{digits:0<9.9}").parse().ok())?
}

/// "+02:00", "Z".
fn zone(text: &str) -> Option<UtcOffset> {
    let text = text.trim_matches(['\0', ' ']);
    if text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let part = |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten().filter(|part| *part >= 0);
    let hours = part(hours).filter(|hours| *hours <= MAX_OFFSET)?;
    UtcOffset::from_hms(sign * hours, sign * part(minutes)?, 0).ok()
}

/// Date and time at the beginning of a part of a name that begins with digits.
fn in_name(text: &str) -> Option<(Date, Option<Time>)> {
    let (date, rest) = match digits(text) {
        8 | 14 | 17 => {
            let date = day(number(text, 0, 4)?.into(), number(text, 4, 2)? as u8, number(text, 6, 2)? as u8)?;
            (COMPACT_YEARS.contains(&date.year()).then_some(date)?, &text[8..])
        }
        4 => {
            let separator = text[4..].chars().next().filter(|c| "-_.".contains(*c))?;
            let (month, rest) = text[5..].split_once(separator)?;
            let is_whole = month.len() == 2 && digits(rest) == 2;
            let date = day(number(text, 0, 4)?.into(), number(month, 0, 2)? as u8, number(rest, 0, 2)? as u8);
            (date.filter(|_| is_whole)?, &rest[2..])
        }
        _ => return None,
    };
    // Hexadecimal numbers have as many digits in a row now and then.
    if rest.starts_with(|c: char| c.is_alphabetic() && c != 'T') {
        return None;
    }
    Some((date, time_in_name(rest)))
}

/// The time at the beginning of what follows the date, or right after what parts them.
fn time_in_name(text: &str) -> Option<Time> {
    let gap = text.find(|c: char| c.is_ascii_digit()).filter(|gap| *gap <= MAX_GAP)?;
    let text = &text[gap..];
    let (hour, minute, second, rest) = match digits(text) {
        6 | 9 => (number(text, 0, 2)?, number(text, 2, 2)?, number(text, 4, 2)?, &text[digits(text)..]),
        1 | 2 => {
            let separator = |text: &str| text.find(|c: char| !c.is_ascii_digit());
            let part = |text: &str| -> Option<u16> { (digits(text) == 2).then(|| number(text, 0, 2)).flatten() };
            let minutes = text.get(separator(text)?..)?.strip_prefix(['.', '-', '_', ':', 'h'])?;
            let seconds = minutes.get(2..)?.strip_prefix(['.', '-', '_', ':', 'm'])?;
            (number(text, 0, digits(text))?, part(minutes)?, part(seconds)?, &seconds[2..])
        }
        _ => return None,
    };
    let half = rest.trim_start().get(..2).map(str::to_ascii_uppercase);
    let hour = match half.as_deref() {
        Some("AM") if hour == 12 => 0,
        Some("PM") if hour < 12 => hour + 12,
        _ => hour,
    };
    Time::from_hms(hour as u8, minute as u8, second as u8).ok()
}

/// Digits that a text begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The number that some of the digits make.
fn number(text: &str, at: usize, length: usize) -> Option<u16> {
    text.get(at..at + length)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(text: &str) -> Option<String> {
        Taken::by_exif(text, None, None).map(|taken| taken.to_string())
    }

    fn name(name: &str) -> Option<String> {
        Taken::by_name(Path::new(name)).map(|taken| taken.to_string())
    }

    #[test]
    fn exif_tells_date_time_fraction_and_zone() {
        let taken = Taken::by_exif("2024:05:12 10:15:30", Some("25"), Some("+02:00")).unwrap();
        assert_eq!(taken.to_string(), "2024-05-12T10:15:30.25+02:00");
        assert_eq!(exif("2024:05:12 10:15:30\0").as_deref(), Some("2024-05-12T10:15:30"));
        assert_eq!(exif("2024-05-12T10:15:30").as_deref(), Some("2024-05-12T10:15:30"));
        assert_eq!(exif("2024:05:12   :  :  ").as_deref(), Some("2024-05-12"));
        assert_eq!(exif("2024:02:29 00:00:00").as_deref(), Some("2024-02-29T00:00:00"));
        let odd = Taken::by_exif("2024:05:12 10:15:30", Some("?"), Some("+99:99")).unwrap();
        assert_eq!(odd.to_string(), "2024-05-12T10:15:30");
    }

    #[test]
    fn what_cannot_be_a_date_is_none() {
        let longer = format!("2024:05:12 10:15:30{}", " 1".repeat(30));
        for text in [
            "0000:00:00 00:00:00",
            "2023:02:29 10:15:30",
            "2024:13:01 10:15:30",
            "2024:05:12 24:61:00",
            "9999:12:31 23:59:59",
            "0001:01:01 00:00:00",
            "    :  :     :  :  ",
            "",
            "\0\0\0\0",
            "yesterday",
            "2024:05:12\u{7} 10:15:30",
            "2024",
            "24:05:12 10:15:30",
            "2024:999:12",
            &longer,
        ] {
            assert_eq!(exif(text), None, "{text:?}");
        }
        for zone in ["", "+", "+2", "+15:00", "02:00", "+-2:00", "ÄÄ:ÄÄ", "+ä"] {
            assert_eq!(super::zone(zone), None, "{zone:?}");
        }
    }

    #[test]
    fn names_of_phones_tell_the_date() {
        for (file, wanted) in [
            ("IMG_20240512_101530.jpg", "2024-05-12T10:15:30"),
            ("PXL_20240512_101530123.MP.jpg", "2024-05-12T10:15:30"),
            ("IMG20240512101530.jpg", "2024-05-12T10:15:30"),
            ("00100lPORTRAIT_00100_BURST20240512101530123_COVER.jpg", "2024-05-12T10:15:30"),
            ("20240512_101530(0).jpg", "2024-05-12T10:15:30"),
            ("2024-05-12 10.15.30.jpg", "2024-05-12T10:15:30"),
            ("2024-05-12 10.15.30-1.jpg", "2024-05-12T10:15:30"),
            ("2024-05-12T10:15:30.png", "2024-05-12T10:15:30"),
            ("IMG-20240512-WA0001.jpg", "2024-05-12"),
            ("WhatsApp Image 2024-05-12 at 10.15.30 PM (1).jpeg", "2024-05-12T22:15:30"),
            ("Screenshot_20240512-101530_Chrome.png", "2024-05-12T10:15:30"),
            ("Screenshot_2024-05-12-10-15-30-123_com.app.jpg", "2024-05-12T10:15:30"),
            ("Screenshot 2024-05-12 at 9.15.30\u{202f}AM.png", "2024-05-12T09:15:30"),
            ("signal-2024-05-12-101530.jpg", "2024-05-12T10:15:30"),
            ("signal-2024-05-12-10-15-30-123.jpg", "2024-05-12T10:15:30"),
            ("photo_2024-05-12_10-15-30.jpg", "2024-05-12T10:15:30"),
            ("WP_20140512_10_15_30_Pro.jpg", "2014-05-12T10:15:30"),
            ("1985-07-12 wedding 3.jpg", "1985-07-12"),
            ("2024_05_12.jpg", "2024-05-12"),
            ("照片 2024-05-12 10.15.30.jpg", "2024-05-12T10:15:30"),
            ("IMG_20240512_996199.jpg", "2024-05-12"),
        ] {
            assert_eq!(name(file).as_deref(), Some(wanted), "{file}");
        }
    }

    #[test]
    fn other_numbers_in_names_are_no_dates() {
        for file in [
            "IMG_1234.jpg",
            "DSC00123.jpg",
            "20241312.jpg",
            "12345678.jpg",
            "120240512.jpg",
            "4b20240512ff.jpg",
            "FB_IMG_1715502930123.jpg",
            "2024-5-12.jpg",
            "2024-05-123.jpg",
            "2024-05.jpg",
            "2024.jpg",
            "2024-é5-12.jpg",
            "2024é05é12.jpg",
            "2024-",
            "",
        ] {
            assert_eq!(name(file), None, "{file}");
        }
        // Only the name of the file counts.
        assert_eq!(name("2024-05-12/rose.jpg"), None);
    }

    #[test]
    fn what_is_shown_can_be_read_and_is_in_order() {
        let texts = [
            "1999-12-31T23:59:59",
            "2024-05-12",
            "2024-05-12T00:00:00",
            "2024-05-12T10:15:30",
            "2024-05-12T10:15:30-03:30",
            "2024-05-12T10:15:30+00:00",
            "2024-05-12T10:15:30.000000001",
            "2024-05-12T10:15:30.25+02:00",
            "2024-06-01",
        ];
        let taken: Vec<Taken> = texts.iter().map(|text| Taken::from_iso(text).unwrap()).collect();
        assert_eq!(taken.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
        assert!(taken.is_sorted());
        assert_eq!(Taken::from_iso("2024-05-12T10:15:3é"), None);
    }

    #[test]
    fn days_are_a_year_a_month_or_one() {
        let days = |text: &str| Days::parse(text).map(|days| format!("{} {}", days.from, days.to));
        assert_eq!(days("2024").as_deref(), Some("2024-01-01 2024-12-31"));
        assert_eq!(days("2024-02").as_deref(), Some("2024-02-01 2024-02-29"));
        assert_eq!(days("2024-5-12").as_deref(), Some("2024-05-12 2024-05-12"));
        for text in ["", "2024-13", "2023-02-29", "may", "2024-05-12-1", "+2024", "0", "99999999999"] {
            assert_eq!(days(text), None, "{text}");
        }
    }
}
