//! Methods of texts. Positions count UTF-16 units, as in Java.

use std::rc::Rc;

use super::super::error::{ErrorKind, ExpressionError, Result};
use super::super::eval::Evaluator;
use super::super::value::Val;
use super::super::{number, pattern, types};

/// Calls a method of a text; none when texts have no such method.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    text: &str,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    if let Some(value) = plain(evaluator, text, name, arguments)? {
        return Ok(Some(value));
    }
    if let Some(value) = searching(evaluator, text, name, arguments)? {
        return Ok(Some(value));
    }
    if let Some(value) = replacing(evaluator, text, name, arguments)? {
        return Ok(Some(value));
    }
    // A static method of String may be called on a text: its receiver is then ignored.
    types::call(evaluator, types::JavaType::String, name, arguments)
}

fn plain<'a>(
    evaluator: &Evaluator<'a>,
    text: &str,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let value = match (name, arguments) {
        ("length", []) => Val::length(text.encode_utf16().count()),
        ("isEmpty", []) => Val::Bool(text.is_empty()),
        ("isBlank", []) => Val::Bool(text.trim().is_empty()),
        ("trim", []) => evaluator.text(text.trim_matches(|c: char| c <= ' '))?,
        ("strip", []) => evaluator.text(text.trim())?,
        ("stripLeading", []) => evaluator.text(text.trim_start())?,
        ("stripTrailing", []) => evaluator.text(text.trim_end())?,
        ("toUpperCase", []) => evaluator.text(text.to_uppercase())?,
        ("toLowerCase", []) => evaluator.text(text.to_lowercase())?,
        ("toString" | "intern", []) => evaluator.text(text)?,
        ("concat", [Val::Text(other)]) => evaluator.text(format!("{text}{}", &**other))?,
        ("repeat", [Val::Int(times)]) => repeat(evaluator, text, *times)?,
        ("formatted", many) => format(evaluator, text, many)?,
        ("equalsIgnoreCase", [other]) => Val::Bool(
            other
                .as_text()
                .is_some_and(|other| other.to_lowercase() == text.to_lowercase()),
        ),
        ("compareTo", [Val::Text(other)]) => Val::Int(compare(text, other)),
        ("compareToIgnoreCase", [Val::Text(other)]) => {
            Val::Int(compare(&text.to_lowercase(), &other.to_lowercase()))
        }
        ("charAt", [Val::Int(at)]) => slice(evaluator, text, *at, at.checked_add(1))?,
        ("codePointAt", [Val::Int(at)]) => {
            let one = slice(evaluator, text, *at, at.checked_add(1))?;
            Val::Int(
                one.as_text()
                    .and_then(|one| one.chars().next())
                    .map_or(0, |c| c as i32),
            )
        }
        ("substring", [Val::Int(from)]) => slice(evaluator, text, *from, None)?,
        ("substring", [Val::Int(from), Val::Int(to)]) => slice(evaluator, text, *from, Some(*to))?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn searching<'a>(
    evaluator: &Evaluator<'a>,
    text: &str,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let Some(first) = arguments.first() else {
        return Ok(None);
    };
    // A sequence of characters may also be a number in Spring's conversion.
    let Some(part) = first.joined_text() else {
        return Ok(None);
    };
    if first.is_null() {
        return Err(ExpressionError::evaluation(format!(
            "{name}() cannot take null"
        )));
    }
    evaluator.spend(text.len() / 4)?;
    let value = match (name, &arguments[1..]) {
        ("contains", []) => Val::Bool(text.contains(&part)),
        ("contentEquals", []) => Val::Bool(text == part),
        ("startsWith", []) => Val::Bool(text.starts_with(&part)),
        ("startsWith", [Val::Int(from)]) => {
            Val::Bool(tail(text, *from).is_some_and(|tail| tail.starts_with(&part)))
        }
        ("endsWith", []) => Val::Bool(text.ends_with(&part)),
        ("indexOf", []) => Val::Int(units_before(text, text.find(&part))),
        ("indexOf", [Val::Int(from)]) => {
            let rest = tail(text, (*from).max(0)).unwrap_or_default();
            let skipped = text.encode_utf16().count() - rest.encode_utf16().count();
            match units_before(&rest, rest.find(&part)) {
                -1 => Val::Int(-1),
                at => Val::Int(at.saturating_add(i32::try_from(skipped).unwrap_or(i32::MAX))),
            }
        }
        ("lastIndexOf", []) => Val::Int(units_before(text, text.rfind(&part))),
        ("matches", []) => Val::Bool(pattern::matches(evaluator, text, &part)?),
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn replacing<'a>(
    evaluator: &Evaluator<'a>,
    text: &str,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let value = match (name, arguments) {
        ("replace", [from, to]) => {
            let (Some(from), Some(to)) = (from.as_text(), to.as_text()) else {
                return Ok(None);
            };
            let count = if from.is_empty() {
                text.chars().count() + 1
            } else {
                text.matches(from).count()
            };
            evaluator.room_for(text.len().saturating_add(count.saturating_mul(to.len())))?;
            evaluator.text(text.replace(from, to))?
        }
        ("replaceAll" | "replaceFirst", [regex, to]) => {
            let (Some(regex), Some(to)) = (regex.joined_text(), to.joined_text()) else {
                return Ok(None);
            };
            let first_only = name == "replaceFirst";
            evaluator.text(pattern::replace(evaluator, text, &regex, &to, first_only)?)?
        }
        ("split", [Val::Text(regex)]) => pieces(evaluator, text, regex, 0)?,
        ("split", [Val::Text(regex), Val::Int(limit)]) => pieces(evaluator, text, regex, *limit)?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn pieces<'a>(evaluator: &Evaluator<'a>, text: &str, regex: &str, limit: i32) -> Result<Val<'a>> {
    let pieces = pattern::split(evaluator, text, regex, limit)?;
    evaluator.spend(pieces.len())?;
    let pieces = pieces.into_iter().map(Val::text).collect();
    Ok(Val::Array(Rc::new(pieces)))
}

/// `compareTo`: the difference of the first units that differ, else of the lengths.
fn compare(left: &str, right: &str) -> i32 {
    let different = left
        .encode_utf16()
        .zip(right.encode_utf16())
        .find(|(l, r)| l != r);
    let length = |text: &str| i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX);
    match different {
        Some((left, right)) => i32::from(left) - i32::from(right),
        None => length(left) - length(right),
    }
}

fn tail(text: &str, from: i32) -> Option<String> {
    let units: Vec<u16> = text.encode_utf16().collect();
    units
        .get(usize::try_from(from).ok()?..)
        .map(String::from_utf16_lossy)
}

fn units_before(text: &str, at: Option<usize>) -> i32 {
    at.map_or(-1, |at| {
        i32::try_from(text[..at].encode_utf16().count()).unwrap_or(i32::MAX)
    })
}

fn slice<'a>(evaluator: &Evaluator<'a>, text: &str, from: i32, to: Option<i32>) -> Result<Val<'a>> {
    evaluator.spend(text.len() / 4)?;
    let units: Vec<u16> = text.encode_utf16().collect();
    let end = to.map_or(Some(units.len()), |to| usize::try_from(to).ok());
    let range = usize::try_from(from).ok().zip(end);
    match range.and_then(|(from, to)| units.get(from..to)) {
        Some(part) => evaluator.text(String::from_utf16_lossy(part)),
        None => Err(ExpressionError::evaluation(format!(
            "characters {from} to {} are outside of a text of {} characters",
            to.map_or_else(|| "the end".to_owned(), |to| to.to_string()),
            units.len()
        ))),
    }
}

/// The text several times.
pub(in super::super) fn repeat<'a>(
    evaluator: &Evaluator<'a>,
    text: &str,
    times: i32,
) -> Result<Val<'a>> {
    let Ok(times) = usize::try_from(times) else {
        let message = format!("a text cannot be repeated {times} times");
        return Err(ExpressionError::new(ErrorKind::IllegalArgument, message));
    };
    evaluator.room_for(text.len().saturating_mul(times))?;
    evaluator.text(text.repeat(times))
}

/// `String.join`.
pub(in super::super) fn join<'a>(
    evaluator: &Evaluator<'a>,
    separator: &str,
    parts: &[Val<'a>],
) -> Result<Val<'a>> {
    let mut joined = String::new();
    for (at, part) in parts.iter().enumerate() {
        let text = part.java_string();
        evaluator.room_for(joined.len() + separator.len() + text.len())?;
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&text);
    }
    evaluator.text(joined)
}

/// `String.format` with `%s %d %f %x %X %o %c %b %e %n %%`, flags, width and precision.
pub(in super::super) fn format<'a>(
    evaluator: &Evaluator<'a>,
    template: &str,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    let mut result = String::new();
    let mut rest = template;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        result.push_str(&rest[..at]);
        let (directive, length) = Directive::read(&rest[at + 1..])?;
        rest = &rest[at + 1 + length..];
        let text = match directive.conversion {
            '%' => "%".to_owned(),
            'n' => "\n".to_owned(),
            _ => {
                let index = directive.index.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                let argument = arguments.get(index).ok_or_else(|| {
                    refuse(format!(
                        "the format '{template}' needs more than {index} values"
                    ))
                })?;
                directive.render(argument)?
            }
        };
        evaluator.room_for(result.len() + directive.width)?;
        result.push_str(&directive.pad(text));
    }
    result.push_str(rest);
    evaluator.text(result)
}

fn refuse(message: String) -> ExpressionError {
    ExpressionError::new(ErrorKind::IllegalArgument, message)
}

/// One `%...` of a format.
struct Directive {
    index: Option<usize>,
    flags: String,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl Directive {
    /// Longest width or precision.
    const MAX_WIDTH: usize = 1_000;

    fn read(text: &str) -> Result<(Self, usize)> {
        let digits = |text: &str| {
            text.find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len())
        };
        let mut rest = text;
        let mut index = None;
        let length = digits(rest);
        if length > 0 && rest[length..].starts_with('$') {
            index = rest[..length]
                .parse::<usize>()
                .ok()
                .and_then(|n| n.checked_sub(1));
            rest = &rest[length + 1..];
        }
        let length = rest.find(|c| !"-+ 0,(#".contains(c)).unwrap_or(rest.len());
        let flags = rest[..length].to_owned();
        rest = &rest[length..];
        let length = digits(rest);
        let width = rest[..length].parse().unwrap_or(0);
        rest = &rest[length..];
        let mut precision = None;
        if let Some(after) = rest.strip_prefix('.') {
            let length = digits(after);
            precision = Some(after[..length].parse().unwrap_or(0));
            rest = &after[length..];
        }
        if width > Self::MAX_WIDTH || precision.is_some_and(|p| p > Self::MAX_WIDTH) {
            return Err(refuse(format!(
                "a width is larger than {}",
                Self::MAX_WIDTH
            )));
        }
        let conversion = rest
            .chars()
            .next()
            .ok_or_else(|| refuse("the format ends after '%'".to_owned()))?;
        let length = text.len() - rest.len() + conversion.len_utf8();
        Ok((
            Self {
                index,
                flags,
                width,
                precision,
                conversion,
            },
            length,
        ))
    }

    fn render(&self, value: &Val<'_>) -> Result<String> {
        let mismatch = || {
            refuse(format!(
                "'%{}' cannot show {}",
                self.conversion,
                value.type_name()
            ))
        };
        let short = |text: String| match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        };
        if value.is_null() {
            return Ok(if self.conversion == 'b' {
                "false"
            } else {
                "null"
            }
            .to_owned());
        }
        let whole = match value {
            Val::Int(value) => Some(i64::from(*value)),
            Val::Long(value) => Some(*value),
            _ => None,
        };
        Ok(match self.conversion {
            's' => short(value.java_string()),
            'S' => short(value.java_string().to_uppercase()),
            'b' => matches!(value, Val::Bool(true)).to_string(),
            'c' => value.as_text().map(str::to_owned).ok_or_else(mismatch)?,
            'd' => self.signed(&whole.ok_or_else(mismatch)?.to_string()),
            'x' | 'X' | 'o' => {
                let whole = whole.ok_or_else(mismatch)?;
                let bits = match value {
                    Val::Int(value) => u64::from(*value as u32),
                    _ => whole as u64,
                };
                match self.conversion {
                    'x' => format!("{bits:x}"),
                    'X' => format!("{bits:X}"),
                    _ => format!("{bits:o}"),
                }
            }
            'f' => {
                let Val::Double(value) = value else {
                    return Err(mismatch());
                };
                self.signed(&format!("{value:.*}", self.precision.unwrap_or(6)))
            }
            'e' => {
                let number = number::double(value).ok_or_else(mismatch)?;
                let text = format!("{number:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                format!(
                    "{digits}e{}{:02}",
                    if exponent < 0 { '-' } else { '+' },
                    exponent.abs()
                )
            }
            other => return Err(refuse(format!("the format does not know '%{other}'"))),
        })
    }

    fn signed(&self, text: &str) -> String {
        let (sign, digits) = text
            .strip_prefix('-')
            .map_or(("", text), |digits| ("-", digits));
        let mut digits = digits.to_owned();
        if self.flags.contains(',') {
            let end = digits.find('.').unwrap_or(digits.len());
            let mut at = end;
            while at > 3 {
                at -= 3;
                digits.insert(at, ',');
            }
        }
        let sign = match sign {
            "" if self.flags.contains('+') => "+",
            "" if self.flags.contains(' ') => " ",
            other => other,
        };
        if self.flags.contains('0') && !self.flags.contains('-') {
            let width = self.width.saturating_sub(sign.len());
            return format!("{sign}{digits:0>width$}");
        }
        format!("{sign}{digits}")
    }

    fn pad(&self, text: String) -> String {
        let width = self.width;
        if self.flags.contains('-') {
            format!("{text:<width$}")
        } else if self.flags.contains('0') && "xXo".contains(self.conversion) {
            format!("{text:0>width$}")
        } else if width == 0 {
            text
        } else {
            format!("{text:>width$}")
        }
    }
}
