//! Values while an expression runs: richer than JSON (int, long and double, states, stages, dates),
//! and cheap to copy, because large contexts are only pointed at.

use std::ops::Deref;
use std::rc::Rc;

use jiff::civil::{Date, DateTime};
use kork_model::{Context, Execution, Stage, Status, Task};
use serde_json::Value;

use super::error::{ExpressionError, Result};
use super::limits::MAX_RESULT_BYTES;
use super::number;
use super::types::{self, JavaType, Unit};

/// Text that is pointed at or owned.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// Keys and values in the order in which they were written.
pub(super) type Entries<'a> = Vec<(Text<'a>, Val<'a>)>;

#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Text<'a>),
    JsonList(&'a [Value]),
    JsonMap(&'a Context),
    List(Rc<Vec<Self>>),
    /// An array of Java: it has a length and elements, and none of the methods of a list.
    Array(Rc<Vec<Self>>),
    Map(Rc<Entries<'a>>),
    /// One entry of a map, inside a selection or a projection.
    Entry(Rc<(Text<'a>, Self)>),
    /// Everything that the expression sees by bare names.
    Root,
    Execution(&'a Execution),
    Stage(&'a Stage),
    /// A stage's context, which also shows the outputs of the stage and its ancestors.
    StageContext(&'a Stage),
    Task(&'a Task),
    Status(Status),
    Class(JavaType),
    /// `java.util.Date`, in milliseconds since the epoch.
    Date(i64),
    /// `java.time.Instant`, in milliseconds since the epoch.
    Instant(i64),
    LocalDate(Date),
    LocalDateTime(DateTime),
    /// 1 = Monday.
    DayOfWeek(u8),
    Unit(Unit),
    Uuid(Rc<str>),
    DateFormat(Rc<str>),
    Random,
    /// Result of `#doNotEval`: later passes leave it alone.
    Literal(Rc<Self>),
}

impl<'a> Val<'a> {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Text::Owned(Rc::from(text.into())))
    }

    pub(super) fn borrowed(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    pub(super) fn map(entries: Entries<'a>) -> Self {
        Self::Map(Rc::new(entries))
    }

    pub(super) fn length(length: usize) -> Self {
        Self::Int(i32::try_from(length).unwrap_or(i32::MAX))
    }

    /// Absent is null.
    pub(super) fn or_null(value: Option<Self>) -> Self {
        value.unwrap_or(Self::Null)
    }

    /// Points at JSON; whole numbers are int when they fit, as in Java.
    pub(super) fn from_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::from_number(number),
            Value::String(text) => Self::borrowed(text),
            Value::Array(items) => Self::JsonList(items),
            Value::Object(map) => Self::JsonMap(map),
        }
    }

    /// Takes JSON that was just made.
    pub(super) fn from_owned_json(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::from_number(&number),
            Value::String(text) => Self::text(text),
            Value::Array(items) => {
                Self::list(items.into_iter().map(Self::from_owned_json).collect())
            }
            Value::Object(map) => Self::map(
                map.into_iter()
                    .map(|(key, value)| (Text::Owned(Rc::from(key)), Self::from_owned_json(value)))
                    .collect(),
            ),
        }
    }

    fn from_number(number: &serde_json::Number) -> Self {
        match number.as_i64() {
            Some(value) => i32::try_from(value).map_or(Self::Long(value), Self::Int),
            None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Elements of a list.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::JsonList(items) => Some(items.iter().map(Self::from_json).collect()),
            Self::List(items) | Self::Array(items) => Some(items.to_vec()),
            _ => None,
        }
    }

    /// Keys and values of a map, except of the root.
    pub(super) fn entries(&self) -> Option<Entries<'a>> {
        match self {
            Self::JsonMap(map) => Some(json_entries(map)),
            Self::StageContext(stage) => Some(json_entries(&stage.context)),
            Self::Map(entries) => Some(entries.to_vec()),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an int",
            Self::Long(_) => "a long",
            Self::Double(_) => "a double",
            Self::Text(_) => "a text",
            Self::JsonList(_) | Self::List(_) => "a list",
            Self::Array(_) => "an array",
            Self::JsonMap(_) | Self::Map(_) | Self::StageContext(_) => "a map",
            Self::Root => "the context",
            Self::Entry(_) => "an entry of a map",
            Self::Execution(_) => "an execution",
            Self::Stage(_) => "a stage",
            Self::Task(_) => "a task",
            Self::Status(_) => "a status",
            Self::Class(_) => "a type",
            Self::Date(_) => "a Date",
            Self::Instant(_) => "an Instant",
            Self::LocalDate(_) => "a LocalDate",
            Self::LocalDateTime(_) => "a LocalDateTime",
            Self::DayOfWeek(_) => "a DayOfWeek",
            Self::Unit(_) => "a ChronoUnit",
            Self::Uuid(_) => "a UUID",
            Self::DateFormat(_) => "a SimpleDateFormat",
            Self::Random => "a Random",
            Self::Literal(_) => "a text that is not evaluated",
        }
    }

    /// `toString()` of Java.
    pub(super) fn java_string(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Long(value) => value.to_string(),
            Self::Double(value) => number::double_text(*value),
            Self::Text(text) => text.to_string(),
            Self::JsonList(_) | Self::List(_) | Self::Array(_) => {
                let items: Vec<_> = self
                    .items()
                    .unwrap_or_default()
                    .iter()
                    .map(Self::java_string)
                    .collect();
                format!("[{}]", items.join(", "))
            }
            Self::JsonMap(_) | Self::Map(_) | Self::StageContext(_) => {
                let entries: Vec<_> = self
                    .entries()
                    .unwrap_or_default()
                    .iter()
                    .map(|(key, value)| format!("{}={}", &**key, value.java_string()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
            Self::Entry(entry) => format!("{}={}", &*entry.0, entry.1.java_string()),
            Self::Root => "context".to_owned(),
            Self::Execution(execution) => execution.id.to_string(),
            Self::Stage(stage) => format!("{} {{id='{}'}}", stage.name, stage.id),
            Self::Task(task) => task.name.clone(),
            Self::Status(status) => status.name().to_owned(),
            Self::Class(java) => format!("class {}", java.full_name()),
            Self::Date(ms) => types::date_text(*ms),
            Self::Instant(ms) => types::instant_text(*ms),
            Self::LocalDate(date) => date.to_string(),
            Self::LocalDateTime(value) => types::local_date_time_text(*value),
            Self::DayOfWeek(day) => types::day_name(*day).to_owned(),
            Self::Unit(unit) => unit.label().to_owned(),
            Self::Uuid(text) => text.to_string(),
            Self::DateFormat(pattern) => pattern.to_string(),
            Self::Random => "java.util.Random".to_owned(),
            Self::Literal(inner) => inner.java_string(),
        }
    }

    /// Text as a part of a longer text, as Spring converts it: lists are joined with commas; maps, dates
    /// of `java.time` and the engine's own objects have none.
    pub(super) fn joined_text(&self) -> Option<String> {
        match self {
            Self::JsonList(_) | Self::List(_) | Self::Array(_) => {
                let items = self.items()?;
                let texts: Option<Vec<_>> = items.iter().map(Self::joined_text).collect();
                texts.map(|texts| texts.join(","))
            }
            Self::JsonMap(_)
            | Self::Map(_)
            | Self::StageContext(_)
            | Self::Root
            | Self::Execution(_)
            | Self::Stage(_)
            | Self::Task(_)
            | Self::Entry(_)
            | Self::Instant(_)
            | Self::LocalDate(_)
            | Self::LocalDateTime(_)
            | Self::Random => None,
            Self::Class(java) => Some(java.full_name().to_owned()),
            Self::Literal(inner) => inner.joined_text(),
            other => Some(other.java_string()),
        }
    }

    /// The result as JSON, unless it is larger than a context may hold.
    pub(super) fn to_json(&self) -> Result<Value> {
        let mut room = MAX_RESULT_BYTES;
        let value = self.json(&mut room)?;
        if matches!(value, Value::Object(_) | Value::Array(_)) {
            weigh(&value, &mut MAX_RESULT_BYTES.clone())?;
        }
        Ok(value)
    }

    fn json(&self, room: &mut usize) -> Result<Value> {
        take(room, 1)?;
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::from(*value),
            Self::Long(value) | Self::Date(value) | Self::Instant(value) => Value::from(*value),
            Self::LocalDate(date) => types::date_json(*date),
            Self::LocalDateTime(value) => types::local_date_time_json(*value),
            Self::Double(value) => serde_json::Number::from_f64(*value)
                .map_or_else(|| Value::String(number::double_text(*value)), Value::Number),
            Self::Text(text) => {
                take(room, text.len())?;
                Value::String(text.to_string())
            }
            Self::JsonList(items) => {
                items.iter().try_for_each(|item| weigh(item, room))?;
                Value::Array(items.to_vec())
            }
            Self::JsonMap(map) => json_map(map, room)?,
            Self::StageContext(stage) => json_map(&stage.context, room)?,
            Self::List(items) | Self::Array(items) => items
                .iter()
                .map(|item| item.json(room))
                .collect::<Result<Vec<_>>>()?
                .into(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| Ok((key.to_string(), value.json(room)?)))
                .collect::<Result<Context>>()?
                .into(),
            Self::Entry(entry) => Value::Object(
                [(entry.0.to_string(), entry.1.json(room)?)]
                    .into_iter()
                    .collect(),
            ),
            Self::Execution(execution) => structure(execution)?,
            Self::Stage(stage) => structure(stage)?,
            Self::Task(task) => structure(task)?,
            Self::Class(java) => Value::from(java.full_name()),
            Self::Unit(unit) => Value::from(unit.name()),
            Self::Literal(inner) => inner.json(room)?,
            Self::Root => {
                return Err(ExpressionError::evaluation(
                    "the whole context is not a value",
                ));
            }
            other => Value::String(other.java_string()),
        })
    }
}

/// JSON as a text, with the keys of maps that an expression made in the order in which they stand.
pub(super) fn json_text(value: &Val<'_>) -> Result<String> {
    let joined = |parts: Result<Vec<String>>| parts.map(|parts| parts.join(","));
    Ok(match value {
        Val::List(items) | Val::Array(items) => {
            format!("[{}]", joined(items.iter().map(json_text).collect())?)
        }
        Val::Map(entries) => {
            let entry = |(key, value): &(Text<'_>, Val<'_>)| {
                let key = Value::from(&**key);
                json_text(value).map(|value| format!("{key}:{value}"))
            };
            format!("{{{}}}", joined(entries.iter().map(entry).collect())?)
        }
        Val::Literal(inner) => json_text(inner)?,
        other => other.to_json()?.to_string(),
    })
}

fn json_entries(map: &Context) -> Entries<'_> {
    map.iter()
        .map(|(key, value)| (Text::Borrowed(key), Val::from_json(value)))
        .collect()
}

fn json_map(map: &Context, room: &mut usize) -> Result<Value> {
    for (key, value) in map {
        take(room, key.len())?;
        weigh(value, room)?;
    }
    Ok(Value::Object(map.clone()))
}

fn structure(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|e| ExpressionError::evaluation(format!("the value is not JSON: {e}")))
}

fn take(room: &mut usize, bytes: usize) -> Result<()> {
    *room = room.checked_sub(bytes).ok_or_else(|| {
        ExpressionError::limit(format!(
            "the result is larger than {MAX_RESULT_BYTES} bytes"
        ))
    })?;
    Ok(())
}

fn weigh(value: &Value, room: &mut usize) -> Result<()> {
    take(room, 1)?;
    match value {
        Value::String(text) => take(room, text.len()),
        Value::Array(items) => items.iter().try_for_each(|item| weigh(item, room)),
        Value::Object(map) => map.iter().try_for_each(|(key, item)| {
            take(room, key.len())?;
            weigh(item, room)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}
