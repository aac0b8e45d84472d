//! Against an oracle that looks at every second, and by hand where clocks change.

use std::collections::HashSet;

use jiff::{
    Span, ToSpan,
    civil::{Date, DateTime, Weekday},
    tz::TimeZone,
};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    let zoned: jiff::Zoned = text.parse().unwrap();
    Timestamp(zoned.timestamp().as_millisecond() as u64)
}

fn shown(moment: Timestamp, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap();
    let moment = jiff::Timestamp::from_millisecond(moment.millis() as i64).unwrap();
    moment.to_zoned(zone).strftime("%F %T%:z").to_string()
}

/// The first fires after a local time.
fn fires(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(expression, zone, "t").unwrap();
    let from = at(&format!("{after}[{zone}]"));
    let all = schedule.fires_between(from, Timestamp(u64::MAX), count);
    all.into_iter().map(|moment| shown(moment, zone)).collect()
}

#[test]
fn plain_schedules() {
    let utc = |expression, count| fires(expression, "UTC", "2024-02-27T00:00:00", count);
    assert_eq!(
        utc("0 30 2 * * ?", 2),
        ["2024-02-27 02:30:00+00:00", "2024-02-28 02:30:00+00:00"]
    );
    assert_eq!(
        utc("0 0 12 29 FEB ?", 2),
        ["2024-02-29 12:00:00+00:00", "2028-02-29 12:00:00+00:00"]
    );
    assert_eq!(
        utc("0 0 0 L-3 * ?", 2),
        ["2024-03-28 00:00:00+00:00", "2024-04-27 00:00:00+00:00"]
    );
    assert_eq!(
        utc("0 0 0 ? * 6#5", 2),
        ["2024-03-29 00:00:00+00:00", "2024-05-31 00:00:00+00:00"]
    );
    assert_eq!(
        utc("0 0 0 LW * ?", 3)[1..],
        ["2024-03-29 00:00:00+00:00", "2024-04-30 00:00:00+00:00"]
    );
    assert_eq!(utc("0 0 0 ? * FRIL", 1), ["2024-03-29 00:00:00+00:00"]);
    assert_eq!(utc("0 0 0 1W JUN ?", 1), ["2024-06-03 00:00:00+00:00"]);
    assert_eq!(
        utc("0 0 0 ? * FRI-MON", 3),
        [
            "2024-03-01 00:00:00+00:00",
            "2024-03-02 00:00:00+00:00",
            "2024-03-03 00:00:00+00:00"
        ]
    );
    assert_eq!(
        utc("0 0 22-1 * * ?", 3),
        [
            "2024-02-27 01:00:00+00:00",
            "2024-02-27 22:00:00+00:00",
            "2024-02-27 23:00:00+00:00"
        ]
    );
    assert_eq!(utc("10/20 0 0 1 1 ? 2026", 9).len(), 3);
    assert_eq!(utc("0 0 10 * * MON", 1), ["2024-03-04 10:00:00+00:00"]);
    assert_eq!(
        utc("0 0 0 1 1 ? 2030/30", 9),
        [
            "2030-01-01 00:00:00+00:00",
            "2060-01-01 00:00:00+00:00",
            "2090-01-01 00:00:00+00:00"
        ]
    );
}

#[test]
fn what_never_fires_ends() {
    for never in [
        "0 0 0 30 2 ?",
        "0 0 0 31 4,6,9,11 ?",
        "0 0 0 ? 2 1#5 2025",
        "0 0 0 1 1 ? 1999",
        "0 0 0 29 2 ? 2025-2027",
        "0 0 0 L-30 2 ?",
    ] {
        let schedule = Schedule::parse(never, "Europe/Berlin", "t").unwrap();
        assert_eq!(
            schedule.next_after(at("2024-01-01T00:00:00[UTC]")),
            None,
            "{never}"
        );
    }
    let often = Schedule::parse("* * * * * ?", "UTC", "t").unwrap();
    for end in [
        u64::MAX,
        253_402_300_799_999,
        9_999_999_999_999_999,
        at("2099-12-31T23:59:59[UTC]").millis(),
    ] {
        assert_eq!(often.next_after(Timestamp(end)), None);
    }
    assert_eq!(often.next_after(Timestamp(0)), Some(Timestamp(1000)));
    assert_eq!(often.next_after(Timestamp(999)), Some(Timestamp(1000)));
}

#[test]
fn clocks_go_forward() {
    for (zone, day, offset) in [
        ("Europe/Berlin", "2025-03-30", "+02:00"),
        ("America/New_York", "2025-03-09", "-04:00"),
        ("America/Los_Angeles", "2025-03-09", "-07:00"),
    ] {
        let of = |expression, count| fires(expression, zone, &format!("{day}T00:00:00"), count);
        assert_eq!(of("0 30 2 * * ?", 1), [format!("{day} 03:00:00{offset}")]);
        // all of the gap at once, and together with what is due then anyway
        assert_eq!(
            of("0 0/10 2,3 * * ?", 2),
            [
                format!("{day} 03:00:00{offset}"),
                format!("{day} 03:10:00{offset}")
            ]
        );
        // expressions that name no hours keep their distance
        let hourly = of("0 30 * * * ?", 3);
        assert_eq!(hourly[2], format!("{day} 03:30:00{offset}"));
        assert_eq!(
            of("0 0 */2 * * ?", 2),
            [
                format!("{day} 03:00:00{offset}"),
                format!("{day} 04:00:00{offset}")
            ]
        );
    }
    // half an hour, in the other hemisphere
    assert_eq!(
        fires(
            "0 15 2 * * ?",
            "Australia/Lord_Howe",
            "2025-10-05T00:00:00",
            2
        ),
        ["2025-10-05 02:30:00+11:00", "2025-10-06 02:15:00+11:00"]
    );
    assert_eq!(
        fires(
            "0 45 2 * * ?",
            "Australia/Lord_Howe",
            "2025-10-05T00:00:00",
            1
        ),
        ["2025-10-05 02:45:00+11:00"]
    );
    // midnight itself is left out
    assert_eq!(
        fires("0 0 0 * * ?", "America/Santiago", "2025-09-06T12:00:00", 1),
        ["2025-09-07 01:00:00-03:00"]
    );
    // a whole day is left out
    assert_eq!(
        fires("0 0 10 30 12 ?", "Pacific/Apia", "2011-12-29T12:00:00", 1),
        ["2011-12-31 00:00:00+14:00"]
    );
}

#[test]
fn clocks_go_back() {
    for (zone, day, hour, offsets) in [
        ("Europe/Berlin", "2025-10-26", 2, ["+02:00", "+01:00"]),
        ("America/New_York", "2025-11-02", 1, ["-04:00", "-05:00"]),
        ("America/Los_Angeles", "2025-11-02", 1, ["-07:00", "-08:00"]),
    ] {
        let of =
            |expression: String, count| fires(&expression, zone, &format!("{day}T00:30:00"), count);
        let once = of(format!("0 30 {hour} * * ?"), 2);
        assert_eq!(once[0], format!("{day} 0{hour}:30:00{}", offsets[0]));
        assert!(!once[1].starts_with(day), "{once:?}");
        let often = of(format!("0 0/20 {hour} * * ?"), 4);
        assert_eq!(often.iter().filter(|fire| fire.starts_with(day)).count(), 3);
        let by_two = of(format!("0 30 {}/2 * * ?", hour % 2), 9);
        assert_eq!(
            by_two
                .iter()
                .filter(|fire| fire.starts_with(&format!("{day} 0{hour}:30")))
                .count(),
            2,
            "{by_two:?}"
        );
        let each = of("0 45 * * * ?".to_owned(), 9);
        let twice = offsets.map(|offset| format!("{day} 0{hour}:45:00{offset}"));
        assert!(twice.iter().all(|fire| each.contains(fire)), "{each:?}");
    }
    let lord_howe = fires(
        "0 45 * * * ?",
        "Australia/Lord_Howe",
        "2025-04-06T01:00:00",
        3,
    );
    assert_eq!(
        lord_howe,
        [
            "2025-04-06 01:45:00+11:00",
            "2025-04-06 01:45:00+10:30",
            "2025-04-06 02:45:00+10:30"
        ]
    );
    let once = fires(
        "0 45 1 * * ?",
        "Australia/Lord_Howe",
        "2025-04-06T01:00:00",
        2,
    );
    assert_eq!(
        once,
        ["2025-04-06 01:45:00+11:00", "2025-04-07 01:45:00+10:30"]
    );
}

#[test]
fn from_within_the_hour_that_comes_twice() {
    let schedule = Schedule::parse("0 30 2 * * ?", "Europe/Berlin", "t").unwrap();
    let second = at("2025-10-26T02:10:00+01:00[Europe/Berlin]");
    let next = schedule.next_after(second).unwrap();
    assert_eq!(shown(next, "Europe/Berlin"), "2025-10-27 02:30:00+01:00");
    let first = at("2025-10-26T02:10:00+02:00[Europe/Berlin]");
    assert_eq!(
        shown(schedule.next_after(first).unwrap(), "Europe/Berlin"),
        "2025-10-26 02:30:00+02:00"
    );
}

#[test]
fn ids_spread_what_they_can() {
    let minute = |id: &str| {
        let schedule = Schedule::parse("H H H * * ?", "UTC", id).unwrap();
        schedule.next_after(Timestamp(0)).unwrap()
    };
    let all: HashSet<Timestamp> = (0..100).map(|n| minute(&format!("trigger-{n}"))).collect();
    assert!(all.len() > 90, "{}", all.len());
    assert_eq!(minute("a"), minute("a"));
    let spread: HashSet<u64> = (0..200)
        .map(|n| minute(&format!("{n}")).millis() / 60_000 % 60)
        .collect();
    assert!(spread.len() > 45, "{}", spread.len());
    let every = Schedule::parse("0 H/15 * * * ?", "UTC", "x").unwrap();
    assert_eq!(
        every
            .fires_between(Timestamp(0), Timestamp(3_600_000), 99)
            .len(),
        4
    );
}

#[test]
fn errors_name_the_field() {
    let error = |text: &str| Schedule::parse(text, "UTC", "t").unwrap_err().to_string();
    assert_eq!(
        error("0 60 * * * ?"),
        "the minute `60` is wrong: 60 is out of range; allowed are 0-59, `*`, lists, ranges, steps and `H`"
    );
    assert!(error("0 0 0 ? * 8").starts_with("the day of week `8` is wrong: 8 is out of range"));
    assert!(
        error("0 0 0 ? FOO MON").starts_with("the month `FOO` is wrong: `FOO` is not understood")
    );
    assert!(error("0 0 0 ? * MON#6").contains("a number from 1 to 5"));
    assert!(error("0 0 0 L-31 * ?").contains("that far before"));
    assert!(error("*/0 0 0 * * ?").contains("the step has to be a number from 1 to 60"));
    assert!(error("0 0 0 1 1 ? 2030-2020").contains("ends before it begins"));
    assert!(error("0 0 0 1 * MON").contains("one of the two has to be `?`"));
    assert!(error("0 0 0 ? * ?").contains("one of the two has to be `?`"));
    assert!(error("0 0 0 H * ?").contains("day of month"));
    assert!(error("30 2 * * 1").ends_with("perhaps `0 30 2 ? * 1`, where 1 is Sunday"));
    assert!(error("30 2 * * *").ends_with("perhaps `0 30 2 * * ?`"));
    assert!(error("").contains("has 0 fields"));
    assert!(error(&"1,".repeat(400)).contains("longer than 512 bytes"));
    let zone = Schedule::parse("0 0 0 * * ?", "Mars/Olympus", "t").unwrap_err();
    assert_eq!(
        zone.to_string(),
        "`Mars/Olympus` is no time zone; use a name like `Europe/Berlin` or `UTC`"
    );
}

#[test]
fn sentences() {
    for (expression, sentence) in [
        ("0 30 2 * * ?", "at 02:30 every day"),
        (
            "15 30 2,14 ? * MON-FRI",
            "at 02:30:15 and 14:30:15 on Monday to Friday",
        ),
        ("0 */5 * * * ?", "every 5 minutes every day"),
        (
            "0 3/5 8-18 ? * 2",
            "every 5 minutes from minute 3 in 08 to 18 on Monday",
        ),
        (
            "0 30 * 1,15 * ?",
            "at minute 30 of every hour on day 1 and 15 of the month",
        ),
        ("* * * * * ?", "every second every day"),
        (
            "0 0 0 LW * ?",
            "at 00:00 on the weekday nearest to the last day of the month",
        ),
        (
            "0 0 0 ? 1-6 6#3 2030",
            "at 00:00 on the third Friday of the month in January to June in 2030",
        ),
        ("0 0 0 ? * 6L", "at 00:00 on the last Friday of the month"),
        (
            "0 0 0 L-3 * ?",
            "at 00:00 on the day that is 3 days before the last of the month",
        ),
        (
            "0 0 */2 * * ?",
            "at minute 0 in every 2nd hour from 00 to 23 every day",
        ),
    ] {
        let schedule = Schedule::parse(expression, "Europe/Berlin", "t").unwrap();
        assert_eq!(
            schedule.describe(),
            format!("{sentence} (Europe/Berlin)"),
            "{expression}"
        );
    }
}

#[test]
fn missed_fire_times() {
    let schedule = Schedule::parse("0 0 * * * ?", "UTC", "t").unwrap();
    let (from, now) = (
        at("2025-01-01T00:00:00[UTC]"),
        at("2025-01-01T05:30:00[UTC]"),
    );
    let hours = |policy| {
        let missed = catch_up(&schedule, from, now, policy);
        missed
            .into_iter()
            .map(|moment| moment.ms_since(from) / 3_600_000)
            .collect::<Vec<_>>()
    };
    assert_eq!(hours(Policy::None), Vec::<u64>::new());
    assert_eq!(hours(Policy::Latest), [5]);
    assert_eq!(
        hours(Policy::All {
            within_ms: u64::MAX
        }),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        hours(Policy::All {
            within_ms: 2 * 3_600_000
        }),
        [4, 5]
    );
    assert_eq!(hours(Policy::All { within_ms: 0 }), Vec::<u64>::new());
    assert_eq!(catch_up(&schedule, now, from, Policy::Latest), []);
    assert_eq!(
        catch_up(
            &schedule,
            at("2025-01-01T05:00:00[UTC]"),
            now,
            Policy::Latest
        ),
        []
    );

    let often = Schedule::parse("* * * * * ?", "UTC", "t").unwrap();
    let many = catch_up(
        &often,
        Timestamp(0),
        now,
        Policy::All {
            within_ms: u64::MAX,
        },
    );
    assert_eq!(many.len(), CATCH_UP_MAX);
    assert_eq!(many.last(), Some(&now));
    assert!(
        many.windows(2)
            .all(|pair| pair[1].ms_since(pair[0]) == 1000)
    );
}

/// Whether a plain field of an expression holds a value: by trying every way to come to it.
fn holds(field: &str, value: u16, (min, max): (u16, u16)) -> bool {
    let size = max - min + 1;
    field.split(',').any(|part| {
        let (range, step) = part
            .split_once('/')
            .map_or((part, None), |(range, step)| (range, Some(step)));
        let step: u16 = step.map_or(1, |step| step.parse().unwrap());
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None if range == "*" || range.is_empty() => (min, max),
            None => (
                range.parse().unwrap(),
                if part.contains('/') {
                    max
                } else {
                    range.parse().unwrap()
                },
            ),
        };
        let mut here = from;
        let to = if to < from { to + size } else { to };
        while here <= to {
            if (here - min) % size + min == value {
                return true;
            }
            here += step;
        }
        false
    })
}

fn day_holds(month_field: &str, week_field: &str, date: Date) -> bool {
    let weekday = |date: Date| date.weekday().to_sunday_one_offset() as u16;
    let last = date.last_of_month();
    let is_work = |date: Date| !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    let nearest = |to: Date| {
        let month = (1..=last.day()).map(|day| Date::new(to.year(), to.month(), day).unwrap());
        // the day before wins over the day after, as Saturday goes to Friday
        month
            .filter(|day| is_work(*day))
            .min_by_key(|day| (day.since(to).unwrap().get_days().abs(), *day))
            .unwrap()
    };
    if week_field != "?" {
        return week_field
            .split(',')
            .any(|part| match part.split_once('#') {
                Some((day, nth)) => {
                    weekday(date) == day.parse::<u16>().unwrap()
                        && (date.day() as u16 - 1) / 7 + 1 == nth.parse::<u16>().unwrap()
                }
                None => match part.strip_suffix('L') {
                    Some("") => weekday(date) == 7,
                    Some(day) => {
                        weekday(date) == day.parse::<u16>().unwrap() && date.day() + 7 > last.day()
                    }
                    None => holds(part, weekday(date), (1, 7)),
                },
            });
    }
    month_field.split(',').any(|part| {
        if let Some(rest) = part.strip_prefix('L') {
            let before = rest.trim_end_matches('W').trim_start_matches('-');
            let before: i8 = if before.is_empty() {
                0
            } else {
                before.parse().unwrap()
            };
            if before >= last.day() {
                return false;
            }
            let wanted = Date::new(date.year(), date.month(), last.day() - before).unwrap();
            return if rest.ends_with('W') {
                nearest(wanted) == date
            } else {
                wanted == date
            };
        }
        match part.strip_suffix('W') {
            Some(day) => Date::new(date.year(), date.month(), day.parse().unwrap())
                .is_ok_and(|wanted| nearest(wanted) == date),
            None => holds(part, date.day() as u16, (1, 31)),
        }
    })
}

fn all_hold(fields: &[String; 7], local: DateTime) -> bool {
    let [second, minute, hour, day, month, week, year] = fields;
    holds(second, local.second() as u16, (0, 59))
        && holds(minute, local.minute() as u16, (0, 59))
        && holds(hour, local.hour() as u16, (0, 23))
        && holds(month, local.month() as u16, (1, 12))
        && holds(year, local.year() as u16, (1970, 2099))
        && day_holds(day, week, local.date())
}

/// Every fire time in a stretch, by looking at each of its seconds and the one before.
fn naive(fields: &[String; 7], zone: &TimeZone, from: i64, to: i64) -> Vec<u64> {
    let hours: HashSet<u16> = (0..24)
        .filter(|hour| holds(&fields[2], *hour, (0, 23)))
        .collect();
    let every_hour = hours.len() == 24;
    let open = |part: &str| part.contains('*') || (part.contains('/') && !part.contains('-'));
    let names_hours = !every_hour && !fields[2].split(',').any(open);
    let local_at = |second: i64| zone.to_datetime(jiff::Timestamp::from_second(second).unwrap());
    let start = from - 2 * 3600;
    let mut seen: HashSet<DateTime> = HashSet::new();
    let mut before = local_at(start - 1);
    let mut found = Vec::new();
    let step: Span = 1.second();
    for second in start..=to {
        let local = local_at(second);
        let mut fires = all_hold(fields, local) && !(names_hours && seen.contains(&local));
        let mut skipped = before + step;
        while !every_hour && skipped < local {
            fires |= all_hold(fields, skipped);
            skipped += step;
        }
        seen.insert(local);
        before = local;
        if fires && second > from {
            found.push(second as u64 * 1000);
        }
    }
    found
}

fn plain(min: u16, max: u16) -> impl Strategy<Value = String> {
    let part =
        (min..=max, min..=max, 1..=(max - min + 1), 0..7u8).prop_map(move |(a, b, step, way)| {
            match way {
                0 => "*".to_owned(),
                1 => format!("{a}-{b}"),
                2 => format!("{a}/{step}"),
                3 => format!("{a}-{b}/{step}"),
                4 => format!("*/{step}"),
                _ => a.to_string(),
            }
        });
    prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

fn month_day() -> impl Strategy<Value = String> {
    let part = (
        0..7u8,
        prop_oneof![1..=31u16, 1..=2u16, 28..=31u16],
        1..=30u16,
        plain(1, 31),
    )
        .prop_map(|(way, day, before, plain)| match way {
            0 => "L".to_owned(),
            1 => "LW".to_owned(),
            2 => format!("L-{before}"),
            3 => format!("{day}W"),
            4 => format!("L-{before}W"),
            _ => plain,
        });
    prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

fn week_day() -> impl Strategy<Value = String> {
    let part =
        (0..5u8, 1..=7u16, 1..=5u16, plain(1, 7)).prop_map(|(way, day, nth, plain)| match way {
            0 => format!("{day}L"),
            1 => format!("{day}#{nth}"),
            2 => "L".to_owned(),
            _ => plain,
        });
    prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

fn days() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        month_day().prop_map(|day| (day, "?".to_owned())),
        week_day().prop_map(|day| ("?".to_owned(), day)),
    ]
}

/// Hours that are likely to be those of a change.
fn hours() -> impl Strategy<Value = String> {
    prop_oneof![
        plain(0, 23),
        (0..5u16).prop_map(|hour| hour.to_string()),
        (0..4u16, 0..5u16).prop_map(|(a, b)| format!("{a},{b}")),
        Just("*".to_owned()),
        Just("0-4".to_owned()),
    ]
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Los_Angeles",
    "Africa/Casablanca",
    "America/Santiago",
    "Asia/Kathmandu",
    "UTC",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn around_changes_of_the_clock_as_looking_at_every_second(
        zone in 0..ZONES.len(), changes in 0..30usize, before in 0..3 * 3600i64,
        second in prop_oneof![plain(0, 59), Just("0".to_owned())], minute in plain(0, 59), hour in hours(),
    ) {
        let fields = [&*second, &minute, &hour, "*", "*", "?", "*"].map(str::to_owned);
        let name = ZONES[zone];
        let zone = TimeZone::get(name).unwrap();
        let start = jiff::Timestamp::from_second(1_500_000_000).unwrap();
        let change = zone.following(start).nth(changes).map_or(start, |change| change.timestamp());
        let (from, to) = (change.as_second() - before, change.as_second() - before + 4 * 3600);
        let schedule = Schedule::parse(&fields.join(" "), name, "t").unwrap();
        let found = schedule.fires_between(Timestamp(from as u64 * 1000), Timestamp(to as u64 * 1000), 100_000);
        let found: Vec<u64> = found.into_iter().map(Timestamp::millis).collect();
        prop_assert_eq!(found, naive(&fields, &zone, from, to));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn years_of_days_as_looking_at_every_day(
        (day, week) in days(), month in plain(1, 12),
        year in prop_oneof![Just("*".to_owned()), (1995..2030u16, 1..9u16).prop_map(|(year, step)| format!("{year}/{step}"))],
    ) {
        let fields = ["0", "0", "12", &day, &month, &week, &year].map(str::to_owned);
        let schedule = Schedule::parse(&fields.join(" "), "UTC", "t").unwrap();
        let (from, to) = (at("1996-01-01T00:00:00[UTC]"), at("2012-01-01T00:00:00[UTC]"));
        let found = schedule.fires_between(from, to, 10_000);
        let first = Date::constant(1996, 1, 1);
        let naive: Vec<Timestamp> = first
            .series(1.day())
            .take_while(|date| date.year() < 2012)
            .map(|date| date.at(12, 0, 0, 0))
            .filter(|local| all_hold(&fields, *local))
            .map(|local| at(&format!("{local}[UTC]")))
            .collect();
        prop_assert_eq!(found, naive);
    }

    #[test]
    fn no_expression_panics(expression in "[0-9*?/#LWH,A-Z -]{0,40}", more in "([0-9*?/#LW,-]{1,4} ){5,7}") {
        for text in [expression, more] {
            if let Ok(schedule) = Schedule::parse(&text, "Europe/Berlin", "t") {
                let _next = schedule.next_after(Timestamp(1_700_000_000_000));
                prop_assert!(!schedule.describe().is_empty());
            }
        }
    }

    #[test]
    fn the_last_is_the_last(second in plain(0, 59), hour in hours(), length in 1..200_000u64) {
        let schedule = Schedule::parse(&format!("{second} 0/7 {hour} * * ?"), "Europe/Berlin", "t").unwrap();
        let from = at("2025-03-29T12:00:00[UTC]");
        let until = from.plus_ms(length * 1000);
        let all = schedule.fires_between(from, until, 1_000_000);
        prop_assert_eq!(schedule.last_between(from, until), all.last().copied());
    }
}

#[test]
fn an_expression_is_described_or_refused_without_a_time_zone() {
    let described = check("0 0/5 * * * ?").unwrap();
    assert!(!described.contains(DEFAULT_ZONE), "{described}");
    let refused = check("nonsense").unwrap_err().to_string();
    assert!(refused.contains("1 fields"), "{refused}");
}
