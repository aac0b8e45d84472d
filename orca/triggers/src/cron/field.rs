//! One field of an expression: numbers, names, ranges, steps, lists.

use super::error::Error;

/// Years that an expression can name, and the last in which anything fires.
pub(super) const YEAR_MIN: u16 = 1970;
pub(super) const YEAR_MAX: u16 = 2099;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What a field is called and may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub name: &'static str,
    pub min: u16,
    pub max: u16,
    pub allowed: &'static str,
    names: &'static [&'static str],
    /// Ranges may go over the end, as in `22-2`.
    wraps: bool,
    /// `H` may stand here.
    hashes: bool,
}

impl Kind {
    const fn time(name: &'static str, max: u16, allowed: &'static str) -> Self {
        Self {
            name,
            min: 0,
            max,
            allowed,
            names: &[],
            wraps: true,
            hashes: true,
        }
    }

    const fn date(
        name: &'static str,
        (min, max): (u16, u16),
        allowed: &'static str,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            min,
            max,
            allowed,
            names,
            wraps: true,
            hashes: false,
        }
    }
}

pub(super) const SECOND: Kind = Kind::time("second", 59, "0-59, `*`, lists, ranges, steps and `H`");
pub(super) const MINUTE: Kind = Kind::time("minute", 59, "0-59, `*`, lists, ranges, steps and `H`");
pub(super) const HOUR: Kind = Kind::time("hour", 23, "0-23, `*`, lists, ranges, steps and `H`");
pub(super) const DAY: Kind = Kind::date(
    "day of month",
    (1, 31),
    "1-31, `*`, `?`, `L`, `L-n`, `LW`, `nW`, lists, ranges and steps",
    &[],
);
pub(super) const MONTH: Kind = Kind::date(
    "month",
    (1, 12),
    "1-12, JAN-DEC, `*`, lists, ranges and steps",
    &MONTHS,
);
pub(super) const WEEKDAY: Kind = Kind::date(
    "day of week",
    (1, 7),
    "1-7 (1 is Sunday), SUN-SAT, `*`, `?`, `L`, `nL`, `n#k`, lists, ranges and steps",
    &DAYS,
);
pub(super) const YEAR: Kind = Kind {
    wraps: false,
    ..Kind::date(
        "year",
        (YEAR_MIN, YEAR_MAX),
        "1970-2099, `*`, lists, ranges and steps",
        &[],
    )
};

/// One part of a list: every `step`th value from `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub from: u16,
    /// Smaller than `from` when the range goes over the end.
    pub to: u16,
    pub step: u16,
    /// It was written `*`, or with a step that has no end.
    pub open: bool,
    /// It is every value of its field.
    pub is_every: bool,
}

impl Range {
    pub(super) const fn only(value: u16) -> Self {
        Self {
            from: value,
            to: value,
            step: 1,
            open: false,
            is_every: false,
        }
    }

    /// The values of the range, in the order of the range.
    pub(super) fn values(self, kind: Kind) -> impl Iterator<Item = u16> {
        let size = kind.max - kind.min + 1;
        let to = if self.to < self.from {
            self.to + size
        } else {
            self.to
        };
        (self.from..=to)
            .step_by(usize::from(self.step))
            .map(move |value| {
                if value > kind.max {
                    value - size
                } else {
                    value
                }
            })
    }
}

impl Kind {
    /// Reads one part of a list; `id` decides what `H` is.
    pub(super) fn range(self, part: &str, id: &str) -> Result<Range, Error> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step, part)?)),
            None => (part, None),
        };
        let (from, to, open) = match range {
            "*" => (self.min, self.max, true),
            "" if step.is_some() => (self.min, self.max, true),
            "H" if self.hashes => match step {
                Some(step) => (self.min + self.spread(id, step), self.max, true),
                None => {
                    return Ok(Range::only(
                        self.min + self.spread(id, self.max - self.min + 1),
                    ));
                }
            },
            range => match range.split_once('-') {
                Some((from, to)) => (self.value(from, part)?, self.value(to, part)?, false),
                None if step.is_some() => (self.value(range, part)?, self.max, true),
                None => return Ok(Range::only(self.value(range, part)?)),
            },
        };
        if to < from && !self.wraps {
            return Err(self.wrong(part, "the range ends before it begins"));
        }
        let step = step.unwrap_or(1);
        let is_every = step == 1 && (from, to) == (self.min, self.max);
        Ok(Range {
            from,
            to,
            step,
            open,
            is_every,
        })
    }

    /// Reads a number or a name.
    pub(super) fn value(self, text: &str, part: &str) -> Result<u16, Error> {
        if let Some(at) = self.names.iter().position(|name| *name == text) {
            return Ok(at as u16 + self.min);
        }
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse::<u16>().ok().filter(|_| is_number);
        let Some(value) = value else {
            return Err(self.wrong(part, format!("`{text}` is not understood")));
        };
        if !(self.min..=self.max).contains(&value) {
            return Err(self.wrong(part, format!("{value} is out of range")));
        }
        Ok(value)
    }

    fn step(self, text: &str, part: &str) -> Result<u16, Error> {
        let step = text
            .parse::<u16>()
            .ok()
            .filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        let size = self.max - self.min + 1;
        step.filter(|step| (1..=size).contains(step))
            .ok_or_else(|| {
                self.wrong(
                    part,
                    format!("the step has to be a number from 1 to {size}"),
                )
            })
    }

    /// A number below `below` that follows from the id and the field.
    fn spread(self, id: &str, below: u16) -> u16 {
        // FNV-1a, which stays the same for ever
        let bytes = id.bytes().chain(self.name.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // the low bits alone hardly differ for ids that differ in their last letter
        ((hash ^ (hash >> 32)) % u64::from(below)) as u16
    }

    pub(super) fn wrong(self, text: &str, problem: impl Into<String>) -> Error {
        Error::Field {
            field: self.name,
            text: text.to_owned(),
            problem: problem.into(),
            allowed: self.allowed,
        }
    }
}
