//! A check of Quartz cron expressions: 6 or 7 fields, seconds first.
//!
//! `H` (a value that is chosen once per trigger) is allowed wherever a number is.

/// One field of an expression.
struct Field {
    name: &'static str,
    from: u32,
    to: u32,
    /// Names of values, the first meaning `from`.
    names: &'static [&'static str],
}

const FIELDS: [Field; 7] = [
    Field {
        name: "second",
        from: 0,
        to: 59,
        names: &[],
    },
    Field {
        name: "minute",
        from: 0,
        to: 59,
        names: &[],
    },
    Field {
        name: "hour",
        from: 0,
        to: 23,
        names: &[],
    },
    Field {
        name: "day of month",
        from: 1,
        to: 31,
        names: &[],
    },
    Field {
        name: "month",
        from: 1,
        to: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    },
    Field {
        name: "day of week",
        from: 1,
        to: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
    Field {
        name: "year",
        from: 1970,
        to: 2199,
        names: &[],
    },
];

/// Positions of the two fields of which exactly one is `?`.
const DAY_OF_MONTH: usize = 3;
const DAY_OF_WEEK: usize = 5;

/// Longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 512;

/// Describes a good expression; says what is wrong with a bad one.
pub(crate) fn check(expression: &str) -> Result<String, String> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(format!(
            "the expression is longer than {EXPRESSION_BYTES_MAX} bytes"
        ));
    }
    let upper = expression.to_ascii_uppercase();
    let given: Vec<&str> = upper.split_ascii_whitespace().collect();
    if !(6..=7).contains(&given.len()) {
        let count = given.len();
        return Err(format!(
            "cron expression {expression:?} has {count} fields, it needs 6 or 7: second minute hour \
             day-of-month month day-of-week [year]"
        ));
    }
    let mut described = Vec::new();
    for (position, (field, text)) in FIELDS.iter().zip(&given).enumerate() {
        if *text == "?" && matches!(position, DAY_OF_MONTH | DAY_OF_WEEK) {
            continue;
        }
        for item in text.split(',') {
            check_item(position, field, item)
                .map_err(|wrong| format!("{} {text:?}: {wrong}", field.name))?;
        }
        let described_as = if *text == "*" {
            "every".to_owned()
        } else {
            (*text).to_owned()
        };
        described.push(format!("{} {described_as}", field.name));
    }
    match (given[DAY_OF_MONTH] == "?", given[DAY_OF_WEEK] == "?") {
        (true, true) => Err("day of month and day of week are both ?, only one may be".to_owned()),
        (false, false) => {
            Err("day of month and day of week are both given, one of them must be ?".to_owned())
        }
        (true, false) | (false, true) => Ok(described.join(", ")),
    }
}

fn check_item(position: usize, field: &Field, item: &str) -> Result<(), String> {
    if is_special_day(position, field, item) {
        return Ok(());
    }
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    if let Some(step) = step {
        let most = field.to - field.from + 1;
        step.parse::<u32>()
            .ok()
            .filter(|step| (1..=most).contains(step))
            .ok_or_else(|| format!("the step {step:?} must be a number from 1 to {most}"))?;
    }
    if matches!(range, "*" | "H") || (range.is_empty() && step.is_some()) {
        return Ok(());
    }
    if let Some(inner) = range
        .strip_prefix("H(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let (from, to) = inner
            .split_once('-')
            .ok_or_else(|| "H(a-b) needs a range".to_owned())?;
        return value(field, from).and(value(field, to)).map(|_| ());
    }
    match range.split_once('-') {
        // A range may run over the end, as from 22 to 2 o'clock; years do not begin again.
        Some((from, to)) => {
            let (from, to) = (value(field, from)?, value(field, to)?);
            if position == FIELDS.len() - 1 && from > to {
                return Err(format!("the range ends in {to} before it begins in {from}"));
            }
            Ok(())
        }
        None => value(field, range).map(|_| ()),
    }
}

/// `L`, `LW`, `L-3`, `15W` of a month; `L`, `6L`, `FRI#2` of a week.
fn is_special_day(position: usize, field: &Field, item: &str) -> bool {
    match position {
        DAY_OF_MONTH => {
            let before_last = item.strip_prefix("L-").and_then(|n| n.parse::<u32>().ok());
            matches!(item, "L" | "LW")
                || before_last.is_some_and(|n| n <= 30)
                || item
                    .strip_suffix('W')
                    .is_some_and(|day| value(field, day).is_ok())
        }
        DAY_OF_WEEK => {
            let nth = item.split_once('#').is_some_and(|(day, nth)| {
                value(field, day).is_ok() && nth.parse::<u32>().is_ok_and(|n| (1..=5).contains(&n))
            });
            item == "L"
                || nth
                || item
                    .strip_suffix('L')
                    .is_some_and(|d| value(field, d).is_ok())
        }
        _ => false,
    }
}

fn value(field: &Field, text: &str) -> Result<u32, String> {
    if let Some(index) = field.names.iter().position(|name| *name == text) {
        return Ok(field.from + index as u32);
    }
    match text.parse::<u32>() {
        Ok(number) if (field.from..=field.to).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!(
            "{text:?} must be a number from {} to {}",
            field.from, field.to
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_expressions_are_taken() {
        for good in [
            "0 0/5 * * * ?",
            "0 0 1 1 1 ?",
            "0 0 12 ? * MON-FRI",
            "0 15 10 ? * 6L 2024-2030",
            "0 15 10 L * ?",
            "0 0 0 LW * ?",
            "0 0 0 15W * ?",
            "0 0 0 ? * FRI#2",
            "0 0 22-2 * * ?",
            "H H(0-29) * ? * *",
            "0 0,30 8-18/2 ? jan,Mar sun",
        ] {
            check(good).unwrap_or_else(|wrong| panic!("{good}: {wrong}"));
        }
    }

    #[test]
    fn bad_expressions_are_explained() {
        for (bad, part) in [
            ("nonsense", "1 fields"),
            ("", "0 fields"),
            ("* * * * *", "5 fields"),
            ("60 * * * * ?", "second \"60\""),
            ("0 0 24 * * ?", "hour"),
            ("0 0 0 0 * ?", "day of month"),
            ("0 0 0 * 13 ?", "month"),
            ("0 0 0 ? * 8", "day of week"),
            ("0 0/0 0 * * ?", "step"),
            ("0 0 0 * * *", "one of them must be ?"),
            ("0 0 0 ? * ?", "only one"),
            ("0 0 0 * * ? 2030-2020", "before it begins"),
            ("? 0 0 * * ?", "second"),
            ("0 0 0 ? * FRI#6", "day of week"),
        ] {
            let wrong = check(bad).expect_err(bad);
            assert!(wrong.contains(part), "{bad}: {wrong}");
        }
    }
}
