//! Dates and places as people of the window's language write them.

use time::Date;
use tr::tr;

use crate::metadata::{Days, Place, Taken};

const MONTHS: [fn() -> String; 12] = [
    || tr!("Jan"),
    || tr!("Feb"),
    || tr!("Mar"),
    || tr!("Apr"),
    || tr!("May"),
    || tr!("Jun"),
    || tr!("Jul"),
    || tr!("Aug"),
    || tr!("Sep"),
    || tr!("Oct"),
    || tr!("Nov"),
    || tr!("Dec"),
];

/// "12 May 2024, 10:15".
pub(crate) fn taken_text(taken: Taken) -> String {
    let day = day_text(taken.date);
    match taken.time {
        Some(time) => tr!("{day}, {time}", day, time = format!("{:02}:{:02}", time.hour(), time.minute())),
        None => day,
    }
}

/// "12 May 2024".
pub(crate) fn day_text(date: Date) -> String {
    let [day, year] = [u32::from(date.day()), date.year().unsigned_abs()];
    let month = &month_name(date.month().into());
    tr!("{day} {month} {year}", day, month, year)
}

/// "May 2024".
pub(crate) fn month_text(year: i32, month: u8) -> String {
    let month = &month_name(month);
    tr!("{month} {year}", month, year)
}

/// A year or a month by its name, other days by the first and the last of them.
pub(crate) fn days_text(days: Days) -> String {
    let (year, month) = (days.from.year(), days.from.month().into());
    match days {
        _ if Days::of(year, None) == Some(days) => year_text(year),
        _ if Days::of(year, Some(month)) == Some(days) => month_text(year, month),
        Days { from, to } => tr!("{} to {}", day_text(from), day_text(to)),
    }
}

/// "2024".
pub(crate) fn year_text(year: i32) -> String {
    tr!("{year}", year)
}

fn month_name(month: u8) -> String {
    MONTHS[usize::from(month) - 1]()
}

/// "51.4788° N, 0.0106° W".
pub(crate) fn place_text(place: Place) -> String {
    let degrees = |angle: f64| format!("{:.4}", angle.abs());
    let (latitude, longitude) = (degrees(place.latitude), degrees(place.longitude));
    let latitude = if place.latitude < 0.0 { tr!("{}° S", latitude) } else { tr!("{}° N", latitude) };
    let longitude = if place.longitude < 0.0 { tr!("{}° W", longitude) } else { tr!("{}° E", longitude) };
    format!("{latitude}, {longitude}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_says_what_is_known() {
        let text = |iso: &str| taken_text(Taken::from_iso(iso).unwrap());
        assert_eq!(text("2024-05-12T10:05:30+02:00"), "12 May 2024, 10:05");
        assert_eq!(text("2024-12-01"), "1 Dec 2024");
        assert_eq!(month_text(2024, 2), "Feb 2024");
        let days = |text: &str| days_text(Days::parse(text).unwrap());
        assert_eq!([days("2024"), days("2024-02")], ["2024", "Feb 2024"]);
        assert_eq!(days("2024-02-03"), "3 Feb 2024 to 3 Feb 2024");
    }

    #[test]
    fn a_place_is_in_degrees() {
        let text = |latitude, longitude| place_text(Place::new(latitude, longitude).unwrap());
        assert_eq!(text(51.4788, -0.01061), "51.4788° N, 0.0106° W");
        assert_eq!(text(-33.51, 151.205), "33.5100° S, 151.2050° E");
    }
}
